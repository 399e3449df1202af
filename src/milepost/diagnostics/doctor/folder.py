"""What the doctor looks at: a checkpoint, the JSON files next to it, and the limits that they set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from milepost.finding import Checks, FieldChange, Finding
from milepost.tables import Checkpoint, Match, PositionTable

NO_LIMIT = 10**20
"""A tokenizer's limit past this means none; transformers writes 1e30."""


@dataclass(frozen=True)
class Limit:
    """One length, in positions (``allocated``: rows).

    Attributes:
        value: the number; None where there is no limit, or where it is not known.
        where: file and field, or tensor. Names from files are data.
        note: what the value means, or why there is none.
    """

    value: int | None
    where: str = ""
    note: str = ""

    def document(self) -> dict[str, Any]:
        """The limit as it stands in JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Twin:
    """Another copy of the weights, in another format.

    ``verdict`` is ``same`` (it holds the position table byte for byte), ``other`` (it holds the table's first row, but other rows
    after it), or ``unread``.
    """

    file: str
    verdict: str = "unread"


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A model's folder as the checks see it.

    Attributes:
        checkpoint: what ``milepost.tables.read`` found.
        placed: each position table, with the row of data that names it.
        documents: JSON files by name; only those that exist. ``modules.json`` is under ``modules``.
        twins: copies of the weights.
        limits: by name (see ``limits.py``).
    """

    checkpoint: Checkpoint
    placed: tuple[tuple[PositionTable, Match], ...] = ()
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    twins: tuple[Twin, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)

    def table(self, *roles: str) -> PositionTable | None:
        """The first table of these roles, in the order of the roles."""
        for role in roles:
            for table, _ in self.placed:
                if table.role == role:
                    return table
        return None

    @property
    def text_table(self) -> PositionTable | None:
        """The table that reads what a tokenizer gives."""
        return self.table("text", "encoder", "decoder")

    def value(self, file: str, *path: str) -> Any:
        """What stands in a document; None where the file or a field is missing."""
        return dig(self.documents.get(file, {}), path)

    def limit(self, name: str) -> int | None:
        """The value of a limit; None where there is none."""
        found = self.limits.get(name)
        return found.value if found else None

    @property
    def config_file(self) -> str:
        """The name of the configuration's file."""
        return next((name for name in ("config.json", "open_clip_config.json") if name in self.documents), "")


def dig(document: Any, path: Iterable[str]) -> Any:
    """Follow names into nested objects; None where one is missing."""
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return None
        document = document[name]
    return document


def count(value: object) -> int | None:
    """``value`` as a length: a whole number from 0 to 1e20, written as it may be in JSON (``512.0``); else None.

    >>> [count(value) for value in (512, 512.0, 1e30, True, "512", float("nan"), -1)]
    [512, 512, None, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < NO_LIMIT:
        return None
    return int(value) if value == int(value) else None


CHECKS: Checks[ModelFolder] = Checks("docs/doctor")


def run_checks(folder: ModelFolder) -> tuple[list[Finding], list[FieldChange]]:
    """All findings in the order of the codes, and the changes that fix what can be fixed safely."""
    said = [(check, verdict) for check in CHECKS.values() for verdict in check.run(folder)]
    changes = [change for _, verdict in said for change in verdict.changes if _is_plain(change.old)]
    return [check.report(verdict) for check, verdict in said], changes


def _is_plain(value: object) -> bool:
    """Whether JSON has it: NaN could not be found again, and has no place in a report."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def shown(value: object) -> str:
    """A value of a file as text, in ASCII and at most 80 signs.

    >>> shown("a\\x1b")
    "'a\\\\x1b'"
    """
    return ascii(value)[:80]


def place(file: str, *path: str) -> str:
    """``file: field.field``.

    >>> place("config.json", "text_config", "image_size")
    'config.json: text_config.image_size'
    """
    return f"{file}: {'.'.join(path)}"
