"""What all methods have in common: their promises, their bad input, their names."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.errors import DataError, MilepostError, OptionError, SpecError, TableTooShort, UnknownName
from milepost.extension.methods import Method, build_method, default_method, registered_methods
from milepost.extension.methods.base import register_method
from milepost.spec import parse_spec

PAGE = Path(__file__).parents[3] / "docs" / "extension.md"
TEXT = [name for name, cls in registered_methods().items() if cls.kind == "text"]
GROWING = [name for name in TEXT if not registered_methods()[name].shrinks]
STORED = [name for name in GROWING if not registered_methods()[name].position_rule]
KEEPING = {
    "crop",
    "group",
    "hierarchical",
    "mean",
    "normal",
    "recur",
    "reflect",
    "sinusoid-fit",
    "tile",
    "zeros",
}


def small(name: str) -> Method:
    return build_method("keep(first=3)" if name == "keep" else name)


def rows(n: int, dim: int = 4, dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(dtype)


def test_the_methods_are_these() -> None:
    assert set(registered_methods()) == {
        "bicubic", "crop", "cubic", "group", "hierarchical", "keep", "linear", "mean", "normal", "recur",
        "reflect", "right", "sinusoid-fit", "tile", "zeros",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(registered_methods()))
def test_each_method_says_what_it_is(name: str) -> None:
    method = build_method(name)
    assert method.name == name
    assert method.keeps_old_rows is (name in KEEPING)
    assert method.kind == ("image" if name == "bicubic" else "text")
    assert method.shrinks is (name == "crop")
    assert method.position_rule is (name in {"group", "recur"})
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


@pytest.mark.parametrize("name", sorted(set(STORED) - KEEPING))
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


@pytest.mark.parametrize("name", ["group", "recur"])
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


@pytest.mark.parametrize("name", sorted(set(GROWING) - {"hierarchical"}))
def test_other_methods_have_no_end(name: str) -> None:
    assert small(name).longest(12) is None
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
        small(name).apply(table, 11 if name == "crop" else 13)


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


def missing(text: str) -> list[str]:
    """Methods and options that the page leaves out, and rows that say another thing of old rows."""
    listed = {m[1]: m for m in re.finditer(r"^\| `([\w-]+)([^`]*)` \|[^|]*\| (yes|no)\b", text, re.M)}
    wrong = [name for name in listed if name not in registered_methods()]
    for name in registered_methods():
        method, row = build_method(name), listed.get(name)
        if row is None or (row[3] == "yes") is not method.keeps_old_rows:
            wrong.append(name)
        elif row[2] and build_method(name + row[2]) != method:
            wrong.append(f"{name}: defaults")
        wrong += [f"{name}({key})" for key in method.options if row is None or f"{key}=" not in row[2]]
    return wrong


def test_the_page_lists_each_method_with_what_it_keeps() -> None:
    assert missing(PAGE.read_text("utf-8")) == []


def test_the_gate_notices_what_the_page_lacks() -> None:
    text = PAGE.read_text("utf-8")
    assert missing(text.replace("| `tile`", "| tile")) == ["tile"]
    assert missing(text.replace("first=20", "first=9")) == ["keep: defaults"]
    assert missing(text.replace("`linear(ends=aligned)`", "`linear`")) == ["linear(ends)"]
    assert missing(re.sub(r"(?m)^(\| `crop`.*)\| yes", r"\1| no", text)) == ["crop"]


def test_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "extension.md", "exec"), {})
