"""Documents held against the JSON Schemas that ship with Milepost: the keywords which those use, and no others."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

_KINDS: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: _KINDS["number"](value) and value == int(value),
}


def find_faults(value: Any, schema: dict[str, Any]) -> Iterator[str]:
    """Where a JSON value does not fit a schema, a sentence each; numbers that are not finite never fit.

    >>> list(find_faults({"seeds": ["x"]}, {"properties": {"seeds": {"items": {"type": "integer"}}}}))
    ["seeds[0] is of another kind: 'x', not integer"]
    """
    yield from _faults(value, schema, schema, "")


def _faults(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    where = at.removeprefix(".") or "the document"
    if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
        yield f"{where} is no finite number"
        return
    for keyword, wanted in schema.items():
        check = _CHECKS.get(keyword)
        if check is not None and (fault := check(value, wanted)):
            yield f"{where} {fault}"
            return
    if "$ref" in schema:
        yield from _faults(value, _follow(schema["$ref"], root), root, at)
    if "anyOf" in schema:
        faults = [list(_faults(value, one, root, at)) for one in schema["anyOf"]]
        if all(faults):
            yield faults[-1][0]
    if "if" in schema and not any(_faults(value, schema["if"], root, at)):
        yield from _faults(value, schema.get("then", {}), root, at)
    if isinstance(value, dict):
        yield from _faults_of_members(value, schema, root, at)
    if isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            yield from _faults(item, schema["items"], root, f"{at}[{place}]")


def _faults_of_members(
    value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str
) -> Iterator[str]:
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, member in value.items():
        place = f"{at}.{ascii(name)[1:-1][:60]}"
        yield from _faults(name, schema.get("propertyNames", {}), root, place)
        if name in known:
            yield from _faults(member, known[name], root, place)
        elif other is False:
            yield f"{place.removeprefix('.')} is unknown"
        elif isinstance(other, dict):
            yield from _faults(member, other, root, place)


def _follow(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _check_type(value: Any, wanted: str | list[str]) -> str:
    names = [wanted] if isinstance(wanted, str) else wanted
    return (
        ""
        if any(_KINDS[name](value) for name in names)
        else f"is of another kind: {_show(value)}, not {' or '.join(names)}"
    )


def _check_required(value: Any, wanted: list[str]) -> str:
    missing = [name for name in wanted if name not in value] if isinstance(value, dict) else []
    return f"has no {missing[0]}" if missing else ""


def _check_unique(value: Any, wanted: bool) -> str:
    if not (wanted and isinstance(value, list)):
        return ""
    texts = [json.dumps(item, sort_keys=True) for item in value]
    return "names something twice" if len(set(texts)) < len(texts) else ""


def _show(value: Any) -> str:
    return ascii(value)[:60]


def _bound(
    kinds: tuple[type, ...], size: Callable[[Any], Any], fits: Callable[[Any, Any], bool], word: str
) -> Callable[[Any, Any], str]:
    """A check of a value's size; values of other kinds pass."""

    def check(value: Any, limit: Any) -> str:
        applies = isinstance(value, kinds) and not isinstance(value, bool)
        return f"is {_show(value)}, not {word} {limit}" if applies and not fits(size(value), limit) else ""

    return check


_NUMBERS = (int, float)
_CHECKS: dict[str, Callable[[Any, Any], str]] = {
    "type": _check_type,
    "required": _check_required,
    "uniqueItems": _check_unique,
    "const": lambda value, wanted: "" if (type(value), value) == (type(wanted), wanted) else f"is {_show(value)}, not {wanted!r}",
    "enum": lambda value, wanted: "" if value in wanted else f"is {_show(value)}, not one of {', '.join(map(str, wanted))}",
    "pattern": lambda value, wanted: "" if not isinstance(value, str) or re.search(wanted, value) else f"is {_show(value)}, not like {wanted}",
    "minimum": _bound(_NUMBERS, lambda value: value, lambda size, limit: size >= limit, "at least"),
    "maximum": _bound(_NUMBERS, lambda value: value, lambda size, limit: size <= limit, "at most"),
    "minItems": _bound((list,), len, lambda size, limit: size >= limit, "of a length of at least"),
    "maxItems": _bound((list,), len, lambda size, limit: size <= limit, "of a length of at most"),
    "minLength": _bound((str,), len, lambda size, limit: size >= limit, "of a length of at least"),
    "minProperties": _bound((dict,), len, lambda size, limit: size >= limit, "of a length of at least"),
}  # fmt: skip
"""What each keyword asks of a value: a fault, or nothing. Keywords about parts are followed elsewhere."""
KEYWORDS = frozenset(_CHECKS) | {"$ref", "anyOf", "if", "then", "items", "properties", "additionalProperties", "propertyNames", "$defs"}  # fmt: skip
WORDS = frozenset({"$schema", "title", "description"})
"""Keywords that ask nothing."""
