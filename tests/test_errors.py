from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from milepost import errors
from milepost.errors import MilepostError, UnknownName

DOCS = Path(__file__).parents[1] / "docs"


def every_error() -> list[type[MilepostError]]:
    found, waiting = [], [MilepostError]
    while waiting:
        waiting += (below := waiting.pop().__subclasses__())
        found += below
    return found


def test_codes_are_unique_and_each_error_is_also_a_builtin() -> None:
    codes = [error.code for error in every_error()]
    assert len(set(codes)) == len(codes) > 5
    assert all(len(error.__mro__) > len(MilepostError.__mro__) + 1 for error in every_error())


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_each_error_is_in_the_tree_and_on_its_page(error: type[MilepostError]) -> None:
    assert re.search(rf"{error.__name__}\s+{error.code}\s+{error.exit_code}", errors.__doc__ or "")
    assert re.search(rf"\| *{error.code} *\|.*\b{error.__name__}\b", (DOCS / "errors.md").read_text("utf-8"))


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    error = errors.PastTheEnd("position 8 is past the end", got="8 rows", fix="shorten the input")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (
        str(back)
        == str(error)
        == "[MP101] position 8 is past the end\n  got: 8 rows\n  fix: shorten the input"
    )


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_an_error_is_three_short_lines_whatever_it_quotes(error: type[MilepostError]) -> None:
    hostile = "\x1b]0;title\x07\n\u202e\x00\ud800" + "x" * 2_000_000 + "the end"
    made = error(f"bad {hostile}", got=hostile, fix=hostile)
    text = str(made)
    assert text.count("\n") == 2
    assert len(text) < 5000
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert "1,9" in made.got and "characters left out" in made.got and made.got.endswith("the end")
    assert str(pickle.loads(pickle.dumps(made))) == text  # noqa: S301


def test_what_fits_is_left_alone() -> None:
    made = errors.DataError("é" * 400, got="[名前] → 'a'", fix="f" * 3000)
    assert (made.problem, made.got, made.fix) == ("é" * 400, "[名前] → 'a'", "f" * 3000)
    assert len(errors.DataError("p", got="g" * 1001, fix="f").got) <= 1000


def test_an_unknown_name_of_megabytes_is_answered_shortly() -> None:
    assert len(str(UnknownName.among("encoding", "rotary" * 500_000, ["rotary"]))) < 1000


def test_a_misspelling_is_answered_with_the_nearest_name() -> None:
    assert (
        "did you mean sinusoidal?" in UnknownName.among("encoding", "sinusodial", ["alibi", "sinusoidal"]).fix
    )
    assert "did you mean" not in UnknownName.among("encoding", "xyzzy", ["alibi"]).fix
