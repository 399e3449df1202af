"""What the doctor looks at: a checkpoint, the JSON files beside it, and the limits that they set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from milepost.finding import Finding, Status
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
class Change:
    """One value of a JSON file to be replaced.

    Attributes:
        file: its name in the model's folder.
        field: names from the outside in, joined by dots.
        old: what stands there now; None where the field is missing or null.
        new: what shall stand there.
    """

    file: str
    field: str
    old: Any
    new: Any

    def document(self) -> dict[str, Any]:
        """The change as it stands in JSON."""
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
class Case:
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


@dataclass(frozen=True)
class Outcome:
    """What a check says; one that says nothing has passed. The registry adds code and title."""

    status: Status
    got: str = ""
    where: str = ""
    expected: str = ""
    fix: str = ""
    changes: Sequence[Change] = ()


Check: TypeAlias = Callable[[Case], Iterable[Outcome]]
CHECKS: dict[str, tuple[str, Check]] = {}


def check(code: str, title: str) -> Callable[[Check], Check]:
    """Enter a check into ``CHECKS`` under its code; a code that is taken is refused."""

    def enter(run: Check) -> Check:
        if code in CHECKS:
            raise ValueError(f"check {code} is there already")
        CHECKS[code] = (title, run)
        return run

    return enter


def run_checks(case: Case) -> tuple[list[Finding], list[Change]]:
    """All findings in the order of the codes, and the changes that would mend what can be mended safely."""
    findings: list[Finding] = []
    changes: list[Change] = []
    for code, (title, run) in sorted(CHECKS.items()):
        for said in list(run(case)) or [Outcome("passed")]:
            findings.append(Finding(code, said.status, title, said.where, said.got, said.expected, said.fix))
            changes += [change for change in said.changes if _is_plain(change.old)]
    return findings, changes


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
