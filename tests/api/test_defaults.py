"""A default that is in a verb and in what it calls is the same in both."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import milepost
from milepost.api.compare import PRESETS
from milepost.comparison import Model, Scale, Training
from milepost.comparison.design import ENCODINGS
from milepost.tables import MAX_HEADER_BYTES
from milepost.tasks import Options
from milepost.tuning import Aim, Recipe


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    empty = inspect.Parameter.empty
    return {
        name: one.default
        for name, one in inspect.signature(function).parameters.items()
        if one.default is not empty
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {one[name]!r}, {other[name]!r}"
        for name in one
        if name in other and one[name] != other[name]
    ]


@pytest.mark.parametrize(("verb", "kind"), [("tune", Aim), ("tune", Recipe), ("compare", Scale)])
def test_a_verb_has_all_fields_of_what_it_makes_with_their_defaults(verb: str, kind: Any) -> None:
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    found = defaults(getattr(milepost, verb))
    assert fields.keys() <= found.keys()
    assert differences(fields, found) == []


def test_compare_has_the_defaults_of_what_it_makes() -> None:
    found = defaults(milepost.compare) | PRESETS["quick"] | {"model": None, "tokenizer": Options.tokenizer}
    for kind in (Model, Training, Options):
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        assert differences(fields, found) == []
    assert found["encodings"] == ",".join(ENCODINGS)


def test_extend_measures_by_the_defaults_of_choose() -> None:
    assert differences(defaults(milepost.choose), defaults(milepost.extend)) == []


@pytest.mark.parametrize("verb", ["inspect", "doctor"])
def test_headers_have_the_limit_of_the_reader(verb: str) -> None:
    assert defaults(getattr(milepost, verb))["max_header_bytes"] == MAX_HEADER_BYTES


def test_another_default_is_found() -> None:
    assert differences({"steps": 1, "only": 2}, {"steps": 3}) == ["steps: 1, 3"]
