"""Bicubic resampling of a grid of patches, with antialiasing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.errors import OptionError
from milepost.extension.methods.base import Grid, Method, check_finite, register_method, wrong_kind

if TYPE_CHECKING:
    from jaxtyping import Float

_A = -0.5
"""Keys' parameter; -0.75 is what resampling without antialiasing uses elsewhere."""


@final
@register_method("bicubic")
@dataclass(frozen=True)
class Bicubic(Method):
    """Resample patches onto another grid, each axis by itself; when an axis shrinks, the kernel widens with it.

    The grids are taken as given, never as the root of a count: 2 x 8 patches become 4 x 4 by resampling. Rows before
    and after the patches are copied. The same grid gives the same rows, bit for bit. Frames of video
    stay as many as they are.

    Source: Keys 1981, with a = -1/2 and pixel centres at half positions, as in timm's resampling and torch's
    ``interpolate(mode="bicubic", antialias=True, align_corners=False)``. Differs: arithmetic is float64.

    >>> table = np.arange(5.0)[:, None]
    >>> Bicubic().apply_grid(table, (2, 2), (1, 1), prefix_rows=1)[:, 0].tolist()
    [0.0, 2.5]
    """

    guarantee = (
        "rows beside the patches are bit-identical, and all rows on the same grid; else every patch changes"
    )
    source = "Keys 1981 (a = -1/2) with antialias, as in timm and torch; differs: arithmetic is float64"
    kind = "image"
    keeps_old_rows = False
    not_a_candidate = "images cannot be measured yet"

    def apply(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, *, rng_seed: int = 0
    ) -> Float[np.ndarray, "to_length dim"]:
        """Refuse: there is no grid in a length."""
        raise wrong_kind(self, "text")

    def apply_grid(
        self, rows: Float[np.ndarray, "rows dim"], from_grid: Grid, to_grid: Grid, *, prefix_rows: int = 0
    ) -> Float[np.ndarray, "to_rows dim"]:
        """See ``Method.apply_grid``; grids may grow and shrink, each axis by itself."""
        _check_grids(len(rows) - prefix_rows, from_grid, to_grid)
        check_finite(rows)
        if from_grid == to_grid:
            return rows.copy()
        last = prefix_rows + math.prod(from_grid)
        patches = rows[prefix_rows:last].astype(np.float64).reshape(-1, *from_grid[-2:], rows.shape[1])
        down, along = (_weights(*sizes) for sizes in zip(from_grid[-2:], to_grid[-2:], strict=True))
        patches = np.einsum("hy,wx,fyxd->fhwd", down, along, patches, optimize=True)
        made = patches.reshape(-1, rows.shape[1]).astype(rows.dtype)
        return np.concatenate([rows[:prefix_rows], made, rows[last:]])


def _check_grids(patches: int, from_grid: Grid, to_grid: Grid) -> None:
    shown = " to ".join(" x ".join(map(str, grid)) for grid in (from_grid, to_grid))
    if len(to_grid) != len(from_grid) or from_grid[:-2] != to_grid[:-2] or min(to_grid) < 1:
        raise OptionError(
            "the target is no grid of this table",
            got=shown,
            fix="give (height, width), each at least 1; frames stay as many as they are",
        )
    if math.prod(from_grid) > patches or len(from_grid) not in (2, 3):
        raise OptionError("the grid does not fit the table", got=f"{shown}, {patches} rows for patches",
                          fix="check image_size and patch_size in config.json")  # fmt: skip


def _weights(size: int, to_size: int) -> Float[np.ndarray, "to_size size"]:
    """What each old place along one axis adds to each new one."""
    scale = size / to_size
    width = max(scale, 1.0)
    centres = (np.arange(to_size) + 0.5) * scale
    first = np.maximum((centres - 2 * width + 0.5).astype(int), 0)
    last = np.minimum((centres + 2 * width + 0.5).astype(int), size)
    places = np.arange(size)
    inside = (places >= first[:, None]) & (places < last[:, None])
    weights = np.where(inside, _keys((places + 0.5 - centres[:, None]) / width), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _keys(x: Float[np.ndarray, "to_size size"]) -> Float[np.ndarray, "to_size size"]:
    """Keys' cubic kernel."""
    x = np.abs(x)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
