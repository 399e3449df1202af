"""The small validator agrees with the library jsonschema on documents that were changed at random."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from milepost.reporting.schemas import read_schema
from milepost.reporting.validation import KEYWORDS, WORDS, find_faults

VALUES: list[Any] = [
    None,
    -1,
    0,
    1,
    True,
    1.5,
    2.0,
    "",
    "x",
    "7",
    [],
    {},
    [[]],
    {"a": 1},
    [None],
    "better",
    2**70,
]


def places(part: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from places(value, (*way, key))


def keywords(schema: Any) -> Iterator[str]:
    """All keywords of a schema; the names of properties are none."""
    if isinstance(schema, list):
        for one in schema:
            yield from keywords(one)
    elif isinstance(schema, dict):
        for name, value in schema.items():
            yield name
            named = name in ("properties", "$defs")
            yield from keywords(
                list(value.values()) if named else value if isinstance(value, dict | list) else []
            )


def test_the_schema_uses_no_keyword_that_would_be_passed_over() -> None:
    assert set(keywords(read_schema("compare"))) <= KEYWORDS | WORDS


def test_a_keyword_that_is_passed_over_would_be_seen() -> None:
    assert not set(keywords({"properties": {"a": {"oneOf": []}}})) <= KEYWORDS | WORDS


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_the_library(seed: int, result: dict[str, Any]) -> None:
    schema, chance = read_schema("compare"), random.Random(seed)
    library = jsonschema.Draft202012Validator(schema)
    assert list(find_faults(result, schema)) == []
    by_kind: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for way in places(result):
        by_kind.setdefault(tuple("#" if isinstance(key, int) else key for key in way), []).append(way)
    refused = 0
    for _ in range(60):
        changed = copy.deepcopy(result)
        *way, last = chance.choice(by_kind[chance.choice(list(by_kind))])
        part = changed
        for key in way:
            part = part[key]
        if chance.random() < 0.2:
            del part[last]
        else:
            part[last] = copy.deepcopy(chance.choice(VALUES))
        valid = library.is_valid(changed)
        refused += not valid
        assert (not any(find_faults(changed, schema))) == valid, (*way, last)
    assert refused > 10


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_numbers_that_are_not_finite_never_fit(value: float) -> None:
    assert list(find_faults({"a": [value]}, {"properties": {"a": {"items": {}}}})) == [
        "a[0] is no finite number"
    ]
