"""Resampling of patches against torch's antialiased interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.errors import DataError, OptionError
from milepost.extension.methods import build_method

BICUBIC = build_method("bicubic")


def rows(count: int, dim: int = 6, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, dim)).astype(dtype)


def reference(table: np.ndarray, old: tuple[int, int], new: tuple[int, int], prefix: int) -> np.ndarray:
    """Prefix apart, a batch of one channels-first image, float32, back: the steps of timm's resampling."""
    patches = torch.from_numpy(table[prefix:]).float().reshape(1, *old, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=new, mode="bicubic", antialias=True, align_corners=False)
    made = patches.permute(0, 2, 3, 1).reshape(math.prod(new), -1)
    return np.concatenate([table[:prefix], made.numpy()])


SIZES = [((14, 14), (7, 7)), ((14, 14), (24, 24)), ((14, 14), (10, 31)), ((7, 16), (16, 7)), ((3, 5), (1, 40)),
         ((2, 8), (4, 4)), ((24, 24), (5, 24)), ((1, 1), (3, 2)), ((37, 23), (36, 24))]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SIZES, ids=str)
@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_equals_torch_up_and_down(old: tuple[int, int], new: tuple[int, int], prefix: int) -> None:
    table = rows(prefix + math.prod(old))
    made = BICUBIC.apply_grid(table, old, new, prefix_rows=prefix)
    assert made.dtype == np.float32
    assert made.shape == (prefix + math.prod(new), 6)
    np.testing.assert_allclose(made, reference(table, old, new, prefix), rtol=0, atol=1e-5)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(*[st.integers(1, 18)] * 4)
def test_equals_torch_at_any_size(height: int, width: int, to_height: int, to_width: int) -> None:
    table = rows(height * width, 2)
    made = BICUBIC.apply_grid(table, (height, width), (to_height, to_width))
    wanted = reference(table, (height, width), (to_height, to_width), 0)
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-5)


def test_without_antialias_the_result_is_another_one() -> None:
    table = rows(196)
    image = torch.from_numpy(table).reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    plain = F.interpolate(image, size=(7, 7), mode="bicubic").permute(0, 2, 3, 1).reshape(49, -1).numpy()
    assert np.abs(BICUBIC.apply_grid(table, (14, 14), (7, 7)) - plain).max() > 0.1


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.sampled_from([np.float32, np.float64]))
def test_the_same_grid_is_an_identity(height: int, width: int, prefix: int, dtype: type) -> None:
    table = rows(prefix + height * width, 3, dtype)
    table[0, 0] = -0.0
    made = BICUBIC.apply_grid(table, (height, width), (height, width), prefix_rows=prefix)
    assert made.tobytes() == table.tobytes()
    assert made is not table


def test_as_many_patches_in_another_shape_are_resampled() -> None:
    table = rows(1 + 16)
    made = BICUBIC.apply_grid(table, (2, 8), (4, 4), prefix_rows=1)
    assert np.array_equal(made[0], table[0])
    assert np.abs(made[1:] - table[1:]).max() > 0.1


def test_rows_before_and_after_the_patches_are_copied() -> None:
    table = rows(2 + 12 + 5)
    made = BICUBIC.apply_grid(table, (3, 4), (5, 2), prefix_rows=2)
    assert made.shape == (2 + 10 + 5, 6)
    assert made[:2].tobytes() == table[:2].tobytes()
    assert made[-5:].tobytes() == table[-5:].tobytes()


def test_frames_are_resampled_one_by_one() -> None:
    table = rows(1 + 3 * 4)
    made = BICUBIC.apply_grid(table, (3, 2, 2), (3, 4, 3), prefix_rows=1)
    for frame in range(3):
        alone = BICUBIC.apply_grid(table[1 + 4 * frame : 5 + 4 * frame], (2, 2), (4, 3))
        assert np.array_equal(made[1 + 12 * frame : 13 + 12 * frame], alone)


def test_a_constant_stays_a_constant() -> None:
    made = BICUBIC.apply_grid(np.full((20, 2), 0.3, np.float32), (4, 5), (9, 3))
    np.testing.assert_allclose(made, 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"), [((2, 2), (0, 3)), ((2, 2), (3,)), ((3, 2), (4, 4)), ((2, 1, 2), (3, 1, 2)), ((4,), (5,))]
)
def test_grids_that_do_not_fit_are_refused(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="MP105"):
        BICUBIC.apply_grid(rows(4), old, new)


def test_a_patch_that_is_not_finite_is_refused() -> None:
    table = rows(4)
    table[2, 1] = np.inf
    with pytest.raises(DataError, match="1 rows, the first is usable row 2"):
        BICUBIC.apply_grid(table, (2, 2), (3, 3))
