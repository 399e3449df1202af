"""Checks and what they say: one registry and one verdict for tables (MP2xx), folders and models (MP3xx)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar, final, get_args

Status: TypeAlias = Literal["issue", "tip", "passed", "not_applicable", "cannot_tell"]
STATUSES: tuple[Status, ...] = get_args(Status)
Seen = TypeVar("Seen")  # what the checks of one registry look at


@dataclass(frozen=True)
class FieldChange:
    """One value of a JSON file to be replaced.

    Attributes:
        file: its name in the model's folder.
        field: names from the outside in, joined by dots.
        old: the present value; None where the field is missing or null.
        new: the value to write.
    """

    file: str
    field: str
    old: Any
    new: Any

    def document(self) -> dict[str, Any]:
        """The change as it stands in JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What a check says of one thing that it looked at; the registry adds code and title.

    Attributes:
        status: ``issue`` (fix it), ``tip`` (know it), ``passed``, ``not_applicable``, or ``cannot_tell`` where the evidence
            does not decide: then ``got`` says what is missing.
        got: what was found.
        where: rows and tensor, or file and field. Names from files are data: escape them where they are shown.
        expected: what a sound table, folder or model has.
        fix: what the reader can do; empty where nothing is to be done.
        changes: the fix as changes of JSON fields, where one value is certainly right.
    """

    status: Status
    got: str = ""
    where: str = ""
    expected: str = ""
    fix: str = ""
    changes: Sequence[FieldChange] = ()


@dataclass(frozen=True)
class Finding:
    """One verdict as it is reported.

    Attributes:
        code: ``MP2xx`` or ``MP3xx``; has a page in ``docs/findings`` or ``docs/doctor``.
        title: what the check looks for, in a few words.
        status, where, got, expected, fix: as in ``Verdict``.
    """

    code: str
    status: Status
    title: str
    where: str = ""
    got: str = ""
    expected: str = ""
    fix: str = ""

    def document(self) -> dict[str, str]:
        """The finding as it stands in JSON.

        >>> Finding("MP205", "passed", "zero rows").document()["status"]
        'passed'
        """
        return asdict(self)


Look: TypeAlias = Callable[[Seen], Verdict | Iterable[Verdict]]


@dataclass(frozen=True)
class Check(Generic[Seen]):
    """A check in its registry.

    Attributes:
        code: unique among all checks.
        title: what it looks for.
        page: the page that explains it, from the root of the repository.
        most: the gravest status that it gives.
        look: the function that looks; it gives one verdict, or some.
    """

    code: str
    title: str
    page: str
    most: Status
    look: Look[Seen]

    def run(self, seen: Seen) -> list[Verdict]:
        """All verdicts; a function that gives none says that the check passed, one that raises says nothing."""
        said = self.look(seen)
        verdicts = [said] if isinstance(said, Verdict) else list(said) or [Verdict("passed")]
        assert self.most == "issue" or all(verdict.status != "issue" for verdict in verdicts), self.code
        return verdicts

    def report(self, verdict: Verdict, where: str = "") -> Finding:
        """The finding of a verdict; ``where`` is for verdicts that name no place."""
        place = verdict.where or where
        return Finding(
            self.code, verdict.status, self.title, place, verdict.got, verdict.expected, verdict.fix
        )


@final
class Checks(Mapping[str, Check[Seen]]):
    """The checks of one kind of thing by code, in the order of the codes.

    Args:
        pages: the folder of their pages, from the root of the repository.

    >>> numbers: Checks[int] = Checks("docs/findings")
    >>> @numbers.enter("MP298", "odd numbers")
    ... def find_odd(number: int) -> Verdict:
    ...     return Verdict("issue" if number % 2 else "passed", f"{number}")
    >>> [(check.title, check.run(3)[0].status) for check in numbers.values()]
    [('odd numbers', 'issue')]
    """

    def __init__(self, pages: str) -> None:
        self._pages = pages
        self._by_code: dict[str, Check[Seen]] = {}

    def enter(self, code: str, title: str, *, most: Status = "issue") -> Callable[[Look[Seen]], Look[Seen]]:
        """Enter the decorated function under its code.

        Raises:
            ValueError: the code is taken.
        """

        def decorate(look: Look[Seen]) -> Look[Seen]:
            if code in self._by_code:
                raise ValueError(f"check {code} is there already")
            self._by_code[code] = Check(code, title, f"{self._pages}/{code}.md", most, look)
            return look

        return decorate

    def __getitem__(self, code: str) -> Check[Seen]:
        return self._by_code[code]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._by_code))

    def __len__(self) -> int:
        return len(self._by_code)


def load_checks(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that its checks enter themselves: a new one needs no list.

    Args:
        package: its ``__name__``.
        path: its ``__path__``.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
