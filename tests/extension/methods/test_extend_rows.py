"""Whole tables: reserved rows, grids, and what the stored format holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.errors import DataError, OptionError, TableTooShort, UnsafeFile
from milepost.extension.methods import build_method, extend_rows, registered_methods
from milepost.tables import PositionTable, decode, encode

TORCH = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
GROWING = [
    name
    for name, cls in registered_methods().items()
    if cls.kind == "text" and not (cls.shrinks or cls.position_rule)
]


def stored(count: int, dtype: str, seed: int = 0, dim: int = 4) -> bytes:
    return encode(np.random.default_rng(seed).normal(0, 0.02, (count, dim)), dtype)


def text_table(raw: bytes, dtype: str, first_row: int = 2, dim: int = 4) -> PositionTable:
    values = decode(raw, dtype).reshape(-1, dim)
    return PositionTable(
        "wpe.weight", values, dtype, first_row, tuple(range(first_row)), usable_length=len(values) - first_row
    )


def spec_of(name: str) -> str:
    return "keep(first=3)" if name == "keep" else name


@pytest.mark.parametrize("name", GROWING)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    dtype=st.sampled_from(sorted(TORCH)),
    first_row=st.integers(0, 3),
    usable=st.integers(5, 12),
    seed=st.integers(0, 99),
)
def test_old_bytes_come_back(name: str, dtype: str, first_row: int, usable: int, seed: int) -> None:
    raw = stored(first_row + usable, dtype, seed)
    table = text_table(raw, dtype, first_row)
    method = build_method(spec_of(name))
    made = extend_rows(table, 25, method, rng_seed=seed)
    assert made.shape == (first_row + 25, 4)
    assert made.dtype == table.rows.dtype
    written = encode(made, dtype)
    row_bytes = len(raw) // (first_row + usable)
    assert written[: first_row * row_bytes] == raw[: first_row * row_bytes]
    if method.keeps_old_rows:
        assert written[: len(raw)] == raw
    assert encode(table.rows, dtype) == raw
    assert decode(written, dtype).tobytes() == made.tobytes()


@pytest.mark.parametrize("name", ["hierarchical", "linear", "cubic", "keep"])
def test_reserved_rows_never_reach_the_body(name: str) -> None:
    table = text_table(stored(12, "F32"), "F32")
    table.rows[:2] = 1e6
    made = extend_rows(table, 30, build_method(spec_of(name)))
    assert (made[:2] == 1e6).all()
    assert np.abs(made[2:]).max() < 1


def test_reserved_rows_may_hold_anything() -> None:
    table = text_table(stored(12, "BF16"), "BF16")
    table.rows[:2] = np.array([np.nan, np.inf, -np.inf, 0.0])
    made = extend_rows(table, 30, build_method("linear"))
    assert encode(made[:2], "BF16") == encode(table.rows[:2], "BF16")
    assert np.isfinite(made[2:]).all()


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_new_rows_are_rounded_to_nearest_even_by_torch_too(dtype: str) -> None:
    table = text_table(stored(40, dtype), dtype)
    exact = build_method("hierarchical").apply(table.usable_rows, 1000)
    wanted = torch.from_numpy(exact).to(TORCH[dtype]).float().numpy()
    assert np.array_equal(extend_rows(table, 1000, build_method("hierarchical"))[2:], wanted)


@pytest.mark.parametrize("name", ["group", "recur"])
def test_a_position_rule_stores_nothing_new(name: str) -> None:
    table = text_table(stored(12, "F32"), "F32")
    made = extend_rows(table, 100, build_method(name))
    assert made.tobytes() == table.rows.tobytes()
    assert not np.shares_memory(made, table.rows)
    with pytest.raises(OptionError, match="not larger"):
        extend_rows(table, 10, build_method(name))


def test_crop_counts_positions_not_rows() -> None:
    table = text_table(stored(12, "F32"), "F32")
    assert extend_rows(table, 7, build_method("crop")).tobytes() == table.rows[:9].tobytes()


def test_too_few_usable_rows_are_counted_without_the_reserved_ones() -> None:
    with pytest.raises(TableTooShort, match="1 usable rows"):
        extend_rows(text_table(stored(3, "F32"), "F32"), 10, build_method("hierarchical"))


def test_a_grid_keeps_what_stands_beside_it() -> None:
    values = decode(stored(1 + 6 + 2, "BF16"), "BF16").reshape(-1, 4)
    table = PositionTable(
        "p", values, "BF16", prefix_rows=1, trailing_rows=2, grid=(2, 3), kind="patches", usable_length=9
    )
    made = extend_rows(table, (4, 4), build_method("bicubic"))
    assert made.shape == (1 + 16 + 2, 4)
    assert np.array_equal(made[[0, -2, -1]], values[[0, -2, -1]])
    assert extend_rows(table, (2, 3), build_method("bicubic")).tobytes() == values.tobytes()
    with pytest.raises(OptionError, match="has a grid, not a length"):
        extend_rows(table, 40, build_method("hierarchical"))
    with pytest.raises(OptionError, match="not for image tables"):
        extend_rows(table, (4, 4), build_method("hierarchical"))


def test_text_has_no_grid() -> None:
    table = text_table(stored(12, "F32"), "F32")
    with pytest.raises(OptionError, match="a grid of 4 x 4 wanted"):
        extend_rows(table, (4, 4), build_method("bicubic"))
    with pytest.raises(OptionError, match="not for text tables"):
        extend_rows(table, 40, build_method("bicubic"))


def test_values_past_the_format_are_refused() -> None:
    table = text_table(encode(np.array([[0.0] * 4, [60000.0] * 4]), "F16"), "F16", first_row=0)
    with pytest.raises(DataError, match=r"(?s)MP110.*F16 cannot hold.*9e\+04"):
        extend_rows(table, 4, build_method("keep(first=0)"))


def test_tables_of_eight_bits_are_refused() -> None:
    table = text_table(bytes(range(40)), "F8_E4M3")
    with pytest.raises(UnsafeFile, match="MP130"):
        extend_rows(table, 20, build_method("tile"))
