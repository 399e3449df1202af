"""What Milepost writes into the configuration of a model whose positions find their rows by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from milepost.errors import UnsafeFile

RECORD: Final = "milepost"
"""The object in ``config.json`` where Milepost keeps what it did and what lengths a model was trained on."""
PREFIX: Final = "milepost_"
"""What model types begin with that stock loaders shall refuse."""
RULES: Final = ("group", "recur")


@dataclass(frozen=True)
class Rule:
    """A rule by which the positions of an input find the rows of a table.

    Attributes:
        spec: the method: ``group`` or ``recur``.
        rows: usable rows of the table.
        to_length: the limit that tokenizer and generation state; the rule itself has none.
    """

    spec: str
    rows: int
    to_length: int

    def document(self) -> dict[str, Any]:
        """The rule as it stands in JSON, in the record's ``rule``."""
        return asdict(self)


def read_rule(config: Mapping[str, Any]) -> Rule | None:
    """The rule in a configuration, if there is one.

    Raises:
        UnsafeFile: MP130, a rule that is malformed.

    >>> read_rule({"milepost": {"rule": {"spec": "group", "rows": 512, "to_length": 2048}}})
    Rule(spec='group', rows=512, to_length=2048)
    """
    record = config.get(RECORD)
    found = record.get("rule") if isinstance(record, Mapping) else None
    if found is None:
        return None
    try:
        rule = Rule(**found)
    except TypeError:
        rule = Rule("", 0, 0)
    sizes = (rule.rows, rule.to_length)
    if rule.spec not in RULES or any(type(size) is not int or not 0 < size < 2**31 for size in sizes):
        raise UnsafeFile(
            "the configuration's position rule is malformed",
            got=ascii(found)[:120],
            fix="extend the model again",
        )
    return rule
