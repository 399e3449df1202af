"""A ``choose`` document on a terminal."""

from __future__ import annotations

import copy
import io
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from milepost.reporting import print_choose, read_schema


def facts(value: float, baseline: float, verdict: str) -> dict[str, Any]:
    difference = value - baseline
    return {
        "value": value, "baseline": baseline, "difference": difference, "low": difference - 0.01, "high": difference + 0.01,
        "p": 0.01, "p_adjusted": 0.02, "detectable": 0.02, "verdict": verdict, "values": [value] * 3,
    }  # fmt: skip


def stretches(value: float) -> list[dict[str, Any]]:
    return [
        {"begin": 0, "end": 510, "scored": 12, "value": value, "baseline": 0.9},
        {"begin": 510, "end": 1020, "scored": 12, "value": value - 0.1, "baseline": 0.5},
    ]


@pytest.fixture
def document() -> dict[str, Any]:
    row = {"keeps_old_rows": True, "guarantee": "kept", "reason": None, "measured": {"seconds": 1.0}}
    made = {
        "schema_version": 1, "source": "m", "objective": "embedding", "pooling": "mean", "from_length": 512, "to_length": 2048,
        "seed": 0, "milepost_version": "0", "extension": None,
        "data": {
            "source": "d", "sha256": "0" * 64, "documents": 20, "longer": 9,
            "measured": [{"index": index, "tokens": 900, "total_tokens": 1000} for index in range(3)],
        },
        "metrics": [
            {"name": "passages", "title": "from anywhere", "better": "higher", "decides": True},
            {"name": "short", "title": "cut", "better": "higher", "decides": False},
        ],
        "baseline": {"name": "truncate", "values": {"passages": [0.6] * 3, "short": [0.9] * 3}},
        "references": [
            {"name": "parts", "metrics": {"passages": facts(0.7, 0.6, "undecided"), "short": facts(0.9, 0.9, "same")}, "by_position": stretches(0.7)}
        ],
        "candidates": [
            row | {"method": "tile", "status": "done", "metrics": {"passages": facts(0.8, 0.6, "better"), "short": facts(0.9, 0.9, "same")}, "by_position": stretches(0.8)},
            row | {"method": "linear", "status": "done", "metrics": {"passages": facts(0.4, 0.6, "worse"), "short": facts(0.7, 0.9, "worse")}, "by_position": stretches(0.4)},
            row | {"method": "keep", "status": "refused", "reason": "keep needs more rows", "measured": None},
        ],
        "recommendation": {"method": "tile", "sentence": "tile is better.", "because": ["a reason"]},
    }  # fmt: skip
    jsonschema.Draft202012Validator(read_schema("choose")).validate(made)
    return made


def printed(document: dict[str, Any], encoding: str = "utf-8", width: int = 90) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    print_choose(document, Console(file=stream, width=width, _environ={}))
    stream.flush()
    return raw.getvalue().decode(encoding)


def cells(text: str, name: str) -> list[list[str]]:
    return [
        line.removeprefix(name).replace("|", " ").split()
        for line in text.splitlines()
        if line.startswith(f"{name}  ")
    ]


def test_the_sentence_comes_first_and_every_method_has_its_numbers(document: dict[str, Any]) -> None:
    text = printed(document)
    assert text.startswith("tile is better.\n- a reason")
    assert "3 of 9 documents" in " ".join(text.split())
    assert cells(text, "(cut)") == [["0.600", "0.900"], ["0.900", "0.500"]]
    assert cells(text, "(mean of parts)") == [["0.700", "?", "0.900", "="], ["0.700", "0.600"]]
    assert cells(text, "tile") == [["0.800", "✓", "0.900", "="], ["0.800", "0.700"]]
    assert cells(text, "linear") == [["0.400", "✗", "0.700", "✗"], ["0.400", "0.300"]]
    assert "keep was not measured: keep needs more rows" in text
    assert "anywhere*" in text
    assert "510–1,020" in text


def test_plain_terminals_and_narrow_ones_are_served(document: dict[str, Any]) -> None:
    text = printed(document, encoding="ascii")
    assert cells(text, "tile")[0] == ["0.800", "+", "0.900", "="]
    assert max(map(len, printed(document, width=60).splitlines())) <= 60


def test_only_refused_candidates_and_no_reference_can_be_shown(document: dict[str, Any]) -> None:
    document["candidates"] = document["candidates"][2:]
    document["references"] = []
    document["recommendation"] = {"method": None, "sentence": "No method.", "because": []}
    assert printed(document).startswith("No method.\n")


def test_names_cannot_steer_the_terminal(document: dict[str, Any]) -> None:
    hostile = "\x1b[2Jx\u202e[red]"
    broken = copy.deepcopy(document)
    broken["candidates"][2] |= {"method": hostile, "reason": hostile}
    broken["recommendation"]["because"] = [hostile]
    text = printed(broken)
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "[red]" in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema_version"], 2),
        (["objective"], "classify"),
        (["data", "sha256"], "abc"),
        (["candidates", 0, "status"], "finished"),
        (["candidates", 0, "metrics", "passages", "verdict"], "significant"),
        (["candidates", 0, "metrics", "passages", "p"], 2),
        (["candidates", 2, "reason"], ""),
        (["recommendation", "sentence"], ""),
        (["baseline", "name"], "zero"),
    ],
)
def test_the_schema_refuses_a_wrong_value(document: dict[str, Any], path: list[Any], value: Any) -> None:
    *way, last = path
    part: Any = document
    for key in way:
        part = part[key]
    part[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(read_schema("choose")).validate(document)
