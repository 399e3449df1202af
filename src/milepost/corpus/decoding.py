"""Text encodings other than UTF-8: which one is asked for, and which one bytes are likely in."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any

from milepost.errors import OptionError

UTF_8 = "utf-8"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_FILES = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined")
_LATIN_SHARE = 0.35  # of letters that are not ASCII; more is another script
_BESIDE_SHARE = 0.8
_NEEDED_SHARE = 0.2
_LIKELY = 0.8
_Test = Callable[[str], bool]


def read_encoding(name: str) -> str:
    """The codec's own name of a text encoding.

    Raises:
        OptionError: MP105, for what is no text encoding.

    >>> read_encoding("latin1")
    'iso8859-1'
    """
    try:
        found = codecs.lookup(name)
        "".encode(name)  # refused for codecs from bytes to bytes
        if found.name in _NO_FILES:
            raise LookupError
    except (LookupError, ValueError):
        raise OptionError(
            "there is no text encoding of this name",
            got=f"encoding={name[:80]!r}",
            fix="--encoding cp1252, utf-16, gb18030, ...; --encodings names position encodings",
        ) from None
    return found.name


def guess_encoding(data: bytes) -> str | None:
    """The encoding that bytes which are not UTF-8 are likely in, or None.

    A byte order mark decides, else zero bytes at every other place, else the script. Text is taken for Western
    European where most letters are ASCII, or nearly all others stand beside one; other text for the first
    encoding in which most of it is common letters of one script. Encodings of one script that differ in rare
    letters are not told apart.

    >>> guess_encoding("naïve café, déjà vu".encode("cp1252"))
    'cp1252'
    >>> guess_encoding("Все люди рождаются свободными".encode("koi8-r"))
    'koi8-r'
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    for name, zeros, others in (("utf-16-le", data[1::2], data[::2]), ("utf-16-be", data[::2], data[1::2])):
        if 0 in zeros and 0 not in others:  # blanks and newlines have one in any script
            return name
    if _is_latin(data):
        return "cp1252" if _decode(data, "cp1252") is not None else "latin-1"
    likely = (name for name, *blocks in _SCRIPTS if _score(data, name, *blocks) >= _LIKELY)
    return next(likely, None)


def _is_latin(data: bytes) -> bool:
    """Whether letters that are not ASCII are few, or nearly all stand beside ASCII letters, as in words with accents."""
    high = len(re.findall(rb"[\x80-\xff]", data))
    ascii_letters = len(re.findall(rb"[A-Za-z]", data))
    beside = len(re.findall(rb"(?<=[A-Za-z])[\x80-\xff]|[\x80-\xff](?=[A-Za-z])", data))
    return high > 0 and (high < _LATIN_SHARE * (high + ascii_letters) or beside > _BESIDE_SHARE * high)


def _score(data: bytes, name: str, is_common: _Test, is_needed: _Test | None = None) -> float:
    """Share of common letters among what is not ASCII; 0 where too few of them are those that are needed."""
    foreign = [letter for letter in _decode(data, name) or "" if letter > "\x7f"]
    if not foreign or (is_needed and sum(map(is_needed, foreign)) < _NEEDED_SHARE * len(foreign)):
        return 0.0
    return sum(map(is_common, foreign)) / len(foreign)


def _decode(data: bytes, name: str) -> str | None:
    try:
        # the sample may end within a letter
        return codecs.getincrementaldecoder(name)().decode(data)
    except UnicodeDecodeError:
        return None


def _within(*blocks: tuple[str, str]) -> _Test:
    return lambda letter: any(block[0] <= letter <= block[1] for block in blocks)


def _lower(first: str, last: str) -> _Test:
    return lambda letter: first <= letter <= last and letter.islower()


_KANA, _HAN, _SIGNS = ("\u3041", "\u30fe"), ("\u4e00", "\u9fff"), ("\u3000", "\u303f")
# in an order in which text of a later one is rarely valid and common in an earlier one
_SCRIPTS: tuple[tuple[Any, ...], ...] = (
    ("cp1255", _within(("\u05b0", "\u05f4"))),
    ("cp1253", _lower("\u0386", "\u03ce")),
    ("cp1251", _lower("\u0430", "\u045f")),
    ("koi8-r", _lower("\u0430", "\u045f")),
    ("shift_jis", _within(_KANA, _HAN, _SIGNS), _within(_KANA)),
    ("euc_jp", _within(_KANA, _HAN, _SIGNS), _within(_KANA)),
    ("cp949", _within(("\uac00", "\ud7a3"))),
    ("gb18030", _within(_HAN)),
    ("big5", _within(_HAN)),
    ("cp1256", _within(("\u060c", "\u06d2"))),
    ("cp874", _within(("\u0e01", "\u0e5b"))),
)
