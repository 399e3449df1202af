"""One value of a JSON file changed, every other byte kept: indentation, order, line ends, number formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from milepost.errors import UnsafeFile

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_DECODER = json.JSONDecoder()


def members(text: str, at: int = 0) -> Iterator[tuple[str, int, int, int]]:
    """Name, where the name begins, and begin and end of the value, of each member of the object at ``at``.

    Raises:
        ValueError: where the text is no JSON object, or ends early; members before that have been given.
    """
    at = _skip(text, at)
    _expect(text, at, "{")
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        start = at
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        _expect(text, at, ":")
        begin = _skip(text, at + 1)
        _value, end = _DECODER.raw_decode(text, begin)
        at = _skip(text, end)
        if at == len(text):
            raise ValueError("the text ends early")
        yield name, start, begin, end
        if text[at] == ",":
            at = _skip(text, at + 1)
        else:
            _expect(text, at, "}")


def replace_value(text: str, path: Sequence[str], value: Any) -> str:
    """Set the member that ``path`` names; one that is missing becomes the last of its object.

    The document must be sound and have no name twice (``milepost.tables.parse_json`` sees to that).

    Raises:
        UnsafeFile: MP130, when what should hold the member is no object.

    >>> replace_value('{"a": {"b":  1},\\n "c": 2.0}', ["a", "b"], None)
    '{"a": {"b":  null},\\n "c": 2.0}'
    >>> replace_value('{\\n  "a": 1\\n}', ["b"], 2)
    '{\\n  "a": 1,\\n  "b": 2\\n}'
    """
    at = 0
    try:
        for name in path[:-1]:
            at = next(begin for found, _, begin, _ in members(text, at) if found == name)
        found = list(members(text, at))
    except (ValueError, StopIteration):
        raise UnsafeFile(
            "a field to change has no place in its file", got=".".join(path), fix="change the file by hand"
        ) from None
    written = json.dumps(value)
    for name, _, begin, end in found:
        if name == path[-1]:
            return text[:begin] + written + text[end:]
    member = f"{json.dumps(path[-1])}: {written}"
    opened = _skip(text, at) + 1
    if not found:
        return text[:opened] + member + text[opened:]
    end = found[-1][3]
    return f"{text[:end]},{text[opened : found[0][1]] or ' '}{member}{text[end:]}"


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it may match nothing, but it does match
    return match.end()


def _expect(text: str, at: int, sign: str) -> None:
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign} at {at}")
