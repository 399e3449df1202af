"""What a check says: one shape for the findings on tables (MP2xx), and on folders and models (MP3xx)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias, get_args

Status: TypeAlias = Literal["issue", "tip", "passed", "not_applicable", "cannot_tell"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        code: ``MP2xx`` or ``MP3xx``; has a page in ``docs/findings`` or ``docs/doctor``.
        status: ``issue`` (mend it), ``tip`` (know it), ``passed``, ``not_applicable``, or ``cannot_tell`` where the evidence
            does not decide: then ``got`` says what is missing.
        title: what the check looks for, in a few words.
        where: rows and tensor, or file and field. Names from files are data: escape them where they are shown.
        got: what was found.
        expected: what a sound table or folder has.
        fix: what the reader can do; empty where nothing is to be done.
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
