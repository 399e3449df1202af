"""Errors that tell a user what happened, what was found, and what to do.

::

    MilepostError                     exit code
    ├── PastTheEnd         MP101      3   (IndexError)   a position after the last row
    ├── TableTooShort      MP102      3   (ValueError)   too few rows for what is asked
    ├── SpecError          MP103      2   (ValueError)   a spec string that cannot be read
    ├── UnknownName        MP104      2   (LookupError)  no encoding, task, ... of this name
    ├── OptionError        MP105      2   (ValueError)   an option out of its range
    ├── MissingExtra       MP106      2   (ImportError)  an optional dependency is not installed
    ├── FolderError        MP107      2   (ValueError)   a run folder that belongs to something else
    │   └── DiskFull       MP108      2                  no room for what is to be written
    ├── PluginError        MP109      2   (ImportError)  a file or package of your own that cannot be imported
    ├── DataError          MP110      3   (ValueError)   data that cannot be used
    ├── UnknownFamily      MP120      3   (LookupError)  a model family Milepost does not know
    ├── SwapRefused        MP121      3   (ValueError)   an encoding that cannot go into this model
    ├── NoTable            MP122      3   (LookupError)  no position table, or several and none was named
    ├── ExtendRefused      MP123      3   (ValueError)   a model that cannot be given another length
    ├── ModelError         MP124      3   (ValueError)   a model that cannot be loaded and run to be measured
    ├── PatchRefused       MP125      3   (ValueError)   a table patch for another model
    ├── UntestedVersion    MP126      2   (RuntimeError) versions under which swapped models are wrong
    ├── UnsafeFile         MP130      3   (ValueError)   a malformed or hostile file
    ├── HubError           MP131      2   (OSError)      the Hub cannot be reached, or refuses
    ├── TrialFailed        MP140      1   (RuntimeError) a trial ended without a result
    ├── CheckFailed        MP150      1   (AssertionError) an encoding breaks a rule of the battery
    └── ProofFailed        MP151      1   (AssertionError) an extended model is not what was promised

The message is always three lines; its parts are attributes, so nobody has to parse text. Parts may quote files and
options, so they are shortened and cleaned here, for every error: at most 400 characters of problem, 1,000 of what was got and
3,000 of the fix, without line breaks and without anything that steers a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PROBLEM, _GOT, _FIX = 400, 1000, 3000


def printable(text: str) -> str:
    """Replace what could steer a terminal in text that may hold names out of files; line breaks stay.

    >>> printable("a\\x1b[31mb\\u202ec\\n")
    'a?[31mb?c\\n'
    """
    return "".join(
        char if char == "\n" or (char.isprintable() and char not in _BIDI) else "?" for char in text
    )


def one_line(text: str, longest: int) -> str:
    """One printable line of at most ``longest`` characters; of longer text the middle is left out, and counted.

    >>> one_line("a\\nb\\x00", 40), one_line("x" * 10**6, 50)
    ('a b?', 'xxx ... [999,993 characters left out] ... xxxx')
    """
    if len(text) > longest:
        room = max(longest - 43, 2)
        head, tail = room // 2, room - room // 2
        text = f"{text[:head]} ... [{len(text) - room:,} characters left out] ... {text[-tail:]}"
    return printable(text.translate(_BREAKS))


_BREAKS = {ord(char): " " for char in "\n\r\t\v\f\u2028\u2029"}


class MilepostError(Exception):
    """An error with a code, what was got, and how to fix it.

    Args:
        problem: one sentence, lower case, no full stop.
        got: the values that were found.
        fix: what the reader can do now.

    >>> print(PastTheEnd("position 8 is past the end of the table", got="8 usable positions",
    ...                  fix="shorten the input"))
    [MP101] position 8 is past the end of the table
      got: 8 usable positions
      fix: shorten the input
    """

    code: ClassVar[str] = "MP100"
    exit_code: ClassVar[int] = 3

    def __init__(self, problem: str, *, got: str, fix: str) -> None:
        self.problem = one_line(problem, _PROBLEM)
        self.got = one_line(got, _GOT)
        self.fix = one_line(fix, _FIX)
        super().__init__(self.problem, self.got, self.fix)

    def __str__(self) -> str:
        return f"[{self.code}] {self.problem}\n  got: {self.got}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments: the default would not survive the way back from a worker process
        return _rebuild, (type(self), self.problem, self.got, self.fix)


def _rebuild(kind: type[MilepostError], problem: str, got: str, fix: str) -> MilepostError:
    return kind(problem, got=got, fix=fix)


class PastTheEnd(MilepostError, IndexError):
    """A position was asked for that lies after the last row."""

    code = "MP101"


class TableTooShort(MilepostError, ValueError):
    """A table has too few rows for what is asked of it."""

    code = "MP102"


class SpecError(MilepostError, ValueError):
    """A spec string cannot be read, or its options make no sense."""

    code = "MP103"
    exit_code = 2


class UnknownName(MilepostError, LookupError):
    """No thing of this kind has this name."""

    code = "MP104"
    exit_code = 2

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """Build the error for ``name`` and offer the nearest of ``known``.

        >>> UnknownName.among("encoding", "rotery", ["rotary", "alibi"]).fix
        'did you mean rotary? known: alibi, rotary'
        """
        known, name = sorted(known), one_line(name, 200)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        offer = f"did you mean {near[0]}? " if near else ""
        return cls(
            f"there is no {kind} of this name",
            got=name or "(nothing)",
            fix=f"{offer}known: {', '.join(known)}",
        )


class OptionError(MilepostError, ValueError):
    """An option is out of its range, or options contradict each other."""

    code = "MP105"
    exit_code = 2


class MissingExtra(MilepostError, ImportError):
    """An optional dependency is not installed."""

    code = "MP106"
    exit_code = 2

    @classmethod
    def of(cls, extra: str, module: str) -> MissingExtra:
        """Build the error for an absent ``module`` that ``extra`` would bring."""
        return cls(
            f"this needs the extra '{extra}'",
            got=f"no module named {module}",
            fix=f"pip install 'milepost[{extra}]'",
        )


class FolderError(MilepostError, ValueError):
    """A run folder belongs to another design, or cannot be written."""

    code = "MP107"
    exit_code = 2


class DiskFull(FolderError):
    """A disk or a quota has no room for what is to be written; what was whole stays whole."""

    code = "MP108"


class PluginError(MilepostError, ImportError):
    """Code that is not Milepost's cannot be imported: a file of ``--import``, or an installed package."""

    code = "MP109"
    exit_code = 2


class DataError(MilepostError, ValueError):
    """Data is missing, empty, binary, or too short for what is asked."""

    code = "MP110"


class UnknownFamily(MilepostError, LookupError):
    """A model family that Milepost does not know; it never guesses one."""

    code = "MP120"


class SwapRefused(MilepostError, ValueError):
    """An encoding cannot be put into this model; the model is as it was."""

    code = "MP121"


class NoTable(MilepostError, LookupError):
    """A model has no position table, or several and none was chosen."""

    code = "MP122"


class ExtendRefused(MilepostError, ValueError):
    """A model cannot be given another length; nothing was written."""

    code = "MP123"


class ModelError(MilepostError, ValueError):
    """A model cannot be loaded and run as a measurement needs it: no tokenizer, no head, another kind of model."""

    code = "MP124"


class PatchRefused(MilepostError, ValueError):
    """A table patch belongs to another model; nothing was written."""

    code = "MP125"


class UntestedVersion(MilepostError, RuntimeError):
    """The installed transformers or torch make swapped models give other answers."""

    code = "MP126"
    exit_code = 2


class UnsafeFile(MilepostError, ValueError):
    """A file is malformed, ambiguous or hostile; nothing was written."""

    code = "MP130"


class HubError(MilepostError, OSError):
    """The Hub cannot be reached, refuses, or has no such model or revision."""

    code = "MP131"
    exit_code = 2


class TrialFailed(MilepostError, RuntimeError):
    """A trial ended without a result."""

    code = "MP140"
    exit_code = 1


class CheckFailed(MilepostError, AssertionError):
    """An encoding breaks a rule that models rely on."""

    code = "MP150"
    exit_code = 1


class ProofFailed(MilepostError, AssertionError):
    """An extended model is not what its method promises; it was removed again."""

    code = "MP151"
    exit_code = 1
