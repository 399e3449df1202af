"""What all methods have in common: their promises, their bad input, their names."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.cli import main
from milepost.errors import DataError, MilepostError, OptionError, SpecError, TableTooShort, UnknownName
from milepost.extension.methods import (
    Method,
    PositionRule,
    build_method,
    default_method,
    registered_methods,
)
from milepost.extension.methods.base import register_method
from milepost.spec import Spec, parse_spec

PAGE = Path(__file__).parents[3] / "docs" / "extension.md"
TEXT = [name for name, cls in registered_methods().items() if cls.kind == "text"]
GROWING = [name for name in TEXT if not registered_methods()[name].shrinks]
STORED = [name for name in GROWING if not registered_methods()[name].position_rule]


def small(name: str) -> Method:
    return build_method("keep(first=3)" if name == "keep" else name)


def rows(n: int, dim: int = 4, dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(dtype)


@pytest.mark.parametrize("name", sorted(registered_methods()))
def test_each_method_says_what_it_is(name: str) -> None:
    method = build_method(name)
    assert method.name == name
    assert method.position_rule is isinstance(method, PositionRule)
    assert 20 < len(method.guarantee) < 160
    assert len(method.source) > 20
    assert ("bit-identical" in method.guarantee) or not method.keeps_old_rows or method.position_rule
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.alpha = 0.1  # type: ignore[misc]


def test_defaults() -> None:
    assert str(default_method("text").spec) == "hierarchical"
    assert str(default_method("image").spec) == "bicubic"


@pytest.mark.parametrize("name", STORED)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    n=st.integers(5, 24),
    more=st.integers(1, 40),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_growing(name: str, n: int, more: int, dtype: type, seed: int) -> None:
    method = small(name)
    to = min(n + more, method.longest(n) or n + more)
    table = rows(n, dtype=dtype, seed=seed)
    table[0, 0] = -0.0
    before = table.tobytes()
    made = method.apply(table, to, rng_seed=seed)
    assert made.shape == (to, 4)
    assert made.dtype == dtype
    assert np.isfinite(made).all()
    assert table.tobytes() == before
    assert not np.shares_memory(made, table)
    assert made.tobytes() == method.apply(table, to, rng_seed=seed).tobytes()
    if method.keeps_old_rows:
        assert made[:n].tobytes() == before
    if name in {"linear", "cubic"}:
        assert np.array_equal(made[[0, -1]], table[[0, -1]])
    if name == "keep":
        assert np.array_equal(made[:3], table[:3])
    if name == "right":
        assert made[-n:].tobytes() == before


@pytest.mark.parametrize("name", [name for name in STORED if not registered_methods()[name].keeps_old_rows])
def test_methods_that_promise_no_old_rows_do_change_them(name: str) -> None:
    table = rows(12)
    assert not np.array_equal(small(name).apply(table, 30)[:12], table)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(n=st.integers(2, 30), to=st.integers(1, 29))
def test_crop(n: int, to: int) -> None:
    if to < n:
        table = rows(n)
        made = build_method("crop").apply(table, to)
        assert made.tobytes() == table[:to].tobytes()
        assert not np.shares_memory(made, table)


@pytest.mark.parametrize("name", sorted(set(GROWING) - set(STORED)))
@settings(deadline=None, derandomize=True, max_examples=25)
@given(n=st.integers(1, 40), length=st.integers(1, 200))
def test_position_rules_reach_rows_of_the_table_alone(name: str, n: int, length: int) -> None:
    positions = build_method(name).positions(length, n)
    assert positions.dtype == np.int64
    assert positions.shape == (length,)
    assert 0 <= positions.min() <= positions.max() < n
    if length <= n:
        assert positions.tolist() == list(range(length))


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("to", [12, 5, 0, -3])
def test_a_target_that_is_not_larger_is_refused(name: str, to: int) -> None:
    with pytest.raises(OptionError, match=r"(?s)MP105.*12 positions, .*more than 12, or shorten it: crop"):
        small(name).apply(rows(12), to)


@pytest.mark.parametrize("to", [4, 9, 0, -1])
def test_crop_refuses_what_is_not_shorter(to: int) -> None:
    with pytest.raises(OptionError, match="crop makes a table shorter"):
        build_method("crop").apply(rows(4), to)


def test_hierarchical_stops_at_the_square() -> None:
    method = build_method("hierarchical")
    assert method.longest(12) == 144
    assert len(method.apply(rows(12), 144)) == 144
    with pytest.raises(OptionError, match="ask for at most 144"):
        method.apply(rows(12), 145)


@pytest.mark.parametrize("name", [name for name in GROWING if small(name).longest(12) is None])
def test_methods_without_a_limit_have_no_end(name: str) -> None:
    assert len(small(name).apply(rows(12), 12 * 12 + 1)) == 145


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ("linear", 2),
        ("hierarchical", 2),
        ("reflect", 2),
        ("cubic", 4),
        ("sinusoid-fit", 4),
        ("keep", 22),
        ("keep(first=3)", 5),
    ],
)
def test_a_table_with_too_few_rows_is_refused(spec: str, needs: int) -> None:
    method = build_method(spec)
    with pytest.raises(TableTooShort, match=rf"(?s)MP102.*{needs - 1} usable rows.*it needs {needs};"):
        method.apply(rows(needs - 1), 40)
    assert len(method.apply(rows(needs), needs + 1)) == needs + 1


@pytest.mark.parametrize("name", TEXT)
def test_values_that_are_not_finite_are_refused(name: str) -> None:
    table = rows(12)
    table[7, 2] = np.nan
    with pytest.raises(DataError, match="1 rows, the first is usable row 7"):
        small(name).apply(table, 11 if small(name).shrinks else 13)


def test_each_kind_of_table_has_its_methods() -> None:
    with pytest.raises(OptionError, match="bicubic is not for text tables") as caught:
        build_method("bicubic").apply(rows(4), 9)
    assert "hierarchical" in caught.value.fix
    for name in TEXT:
        with pytest.raises(OptionError, match=f"{name} is not for image tables") as caught:
            small(name).apply_grid(rows(4), (2, 2), (3, 3))
        assert caught.value.fix == "take one of: bicubic"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("hierarchicl", UnknownName), ("hierarchical(alpha=0)", OptionError), ("hierarchical(alpha=1)", OptionError),
        ("hierarchical(alpha=0.5)", OptionError), ("hierarchical(beta=1)", SpecError), ("tile(first=2)", SpecError),
        ("keep(first=-1)", OptionError), ("keep(first=1.5)", SpecError), ("linear(ends=loose)", OptionError),
        ("linear(ends=3)", SpecError), ("sinusoid-fit(harmonics=0)", OptionError), ("tile,mean", SpecError),
    ],
)  # fmt: skip
def test_bad_specs_are_refused(text: str, error: type[MilepostError]) -> None:
    with pytest.raises(error):
        build_method(text)


@given(st.sampled_from(list(registered_methods())), st.data())
def test_a_spec_is_accepted_exactly_where_the_class_accepts_its_options(
    name: str, data: st.DataObject
) -> None:
    cls = registered_methods()[name]
    values = st.sampled_from([-1, 0, 0.5, 1, 2, 7, 0.3, "open", "aligned", "loose", "two words"])
    keys = [*cls.known_options(), "speed"]
    options = data.draw(st.dictionaries(st.sampled_from(keys), values, max_size=2))
    spec = parse_spec(str(Spec(name, options)))

    def refused(call: Callable[[], object]) -> bool:
        try:
            call()
        except (MilepostError, TypeError):  # a keyword that the class does not have
            return True
        return False

    assert refused(lambda: build_method(spec)) == refused(lambda: cls(**options))


def test_options_of_a_method_that_says_nothing_about_them_are_of_the_kind_of_their_defaults() -> None:
    tile: Any = type(build_method("tile"))

    @dataclasses.dataclass(frozen=True)
    class Window(tile):
        size: int = 4
        share: float = 0.5

    assert Window(size=-3, share=7).options == {"size": -3, "share": 7}
    with pytest.raises(SpecError, match="size must be a whole number"):
        Window(size=2.5)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("hierarchical(alpha=0.40)", "hierarchical"), ("keep( first = 4 )", "keep(first=4)"), ("linear(ends='open')", "linear(ends=open)"),
     ("linear(ends=aligned)", "linear"), ("sinusoid-fit(harmonics=3)", "sinusoid-fit(harmonics=3)")],
)  # fmt: skip
def test_a_method_has_one_spelling_that_reads_back(text: str, spelled: str) -> None:
    method = build_method(text)
    assert str(method.spec) == spelled
    assert build_method(parse_spec(spelled)) == method


def test_a_name_is_given_once() -> None:
    with pytest.raises(OptionError, match="taken"):
        register_method("tile")(type(build_method("tile")))


@pytest.mark.parametrize(
    "statements",
    [{"candidates": ("spec",), "not_a_candidate": "it is slow"}, {"kind": "image"}, {"shrinks": True}],
)
def test_a_method_must_say_whether_choose_measures_it(statements: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="is a candidate of `choose`, or says why not"):
        register_method("another")(type("Another", (Method,), statements))
    assert "another" not in registered_methods()


@pytest.mark.parametrize("name", registered_methods())
def test_candidates_are_specs_of_the_method_and_only_for_tables_of_text_that_grow(name: str) -> None:
    cls = registered_methods()[name]
    assert bool(cls.candidates) is not bool(cls.not_a_candidate)
    assert {type(build_method(spec)) for spec in cls.candidates} <= {cls}
    assert not cls.candidates or (cls.kind == "text" and not cls.shrinks)


def render(name: str) -> re.Pattern[str]:
    """The row of a method on the page: spec, new rows, old rows, limit, what `choose` measures, source."""
    method = build_method(name)
    old = r"yes \|" if method.keeps_old_rows else r"no: .+ \|"
    measured = ", ".join(f"`{spec}`" for spec in method.candidates) or f"no: {method.not_a_candidate}"
    return re.compile(
        rf"^\| {re.escape(f'`{method.full_spec}`')} \| [^|]+ \| {old} [^|]+ \| {re.escape(measured)} \| .+ \|$"
    )


def missing(text: str) -> list[str]:
    """Methods whose row is not on the page where the registry has it, and rows of what is no method."""
    rows = [line for line in text.splitlines() if re.match(r"\| `[\w-]+[(`]", line)]
    pairs = itertools.zip_longest(registered_methods(), rows)
    return [name or row for name, row in pairs if not (name and row and render(name).match(row))]


def test_the_page_lists_each_method_as_the_registry_has_it() -> None:
    assert missing(PAGE.read_text("utf-8")) == [], "docs/extension.md wants a row for each method, in order"


def test_the_gate_notices_what_the_page_lacks() -> None:
    text = PAGE.read_text("utf-8")
    assert missing(text.replace("| `recur`", "| recur")) == ["recur", "crop", "bicubic"]
    assert missing(text.replace("no: a start for training", "`normal`", 1)) == ["normal"]
    assert missing(text.replace("`keep(first=20)` |", "`keep(first=9)` |")) == ["keep"]


def test_the_command_line_lists_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["extend", "--methods"])
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == [
        f"{build_method(name).full_spec}: {cls.guarantee}" for name, cls in registered_methods().items()
    ]
