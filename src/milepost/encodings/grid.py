"""Places in an image: what the two-dimensional encodings share.

Positions of an image model are 0, 1, 2, ...: first ``prefix`` tokens without a place (class, registers),
then the patches row by row, top left to bottom right.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from milepost.catalog.builtin import STRETCHED

__all__ = ["STRETCHED", "split_places", "stretch_rows"]


def split_places(
    positions: Int64[Tensor, "*batch seq"], columns: int, prefix: int
) -> tuple[Int64[Tensor, "*batch seq"], Int64[Tensor, "*batch seq"]]:
    """Row and column of each position's patch; positions of the prefix get row 0, column 0.

    >>> import torch
    >>> [part.tolist() for part in split_places(torch.arange(6), columns=3, prefix=1)]
    [[0, 0, 0, 0, 1, 1], [0, 0, 1, 2, 0, 1]]
    """
    patches = (positions - prefix).clamp(min=0)
    return patches.div(columns, rounding_mode="floor"), patches.remainder(columns)


def stretch_rows(
    rows: Float[Tensor, "rows dim"], grid: tuple[int, int], to_grid: tuple[int, int], past: str
) -> Float[Tensor, "to_rows dim"]:
    """Resample the rows of an image's patches for another grid; rows of the prefix are kept as they are.

    Args:
        rows: those of the prefix, then of the patches row by row.
        grid: rows and columns of patches that they stand for.
        to_grid: rows and columns wanted.
        past: ``bicubic`` resamples rows and columns of the image, ``linear`` the one sequence of all patches,
            as if it were text. Both widen their kernel where they shrink (antialias).

    Returns:
        A new tensor of the dtype of ``rows``, differentiable; the arithmetic is float32 at least.

    Source: Dosovitskiy et al. 2021, section 3.2, who resample in two dimensions; bicubic with a = -1/2 and pixel
    centres at half positions, as torch's ``interpolate`` with antialias.

    >>> table = torch.tensor([[9.0], [0.0], [2.0], [4.0], [6.0]])
    >>> stretch_rows(table, (2, 2), (1, 1), "bicubic")[:, 0].tolist()
    [9.0, 3.0]
    """
    prefix = len(rows) - grid[0] * grid[1]
    exact = rows[prefix:].to(torch.promote_types(rows.dtype, torch.float32)).T
    if past == "linear":
        made = _resample(exact, to_grid[0] * to_grid[1], "bilinear")
    else:
        wide = _resample(exact.unflatten(1, grid), to_grid[1], "bicubic")
        made = _resample(wide.mT, to_grid[0], "bicubic").mT.flatten(1)
    return torch.cat((rows[:prefix], made.T.to(rows)))


def _resample(
    values: Float[Tensor, "*lines size"], to_size: int, mode: str
) -> Float[Tensor, "*lines to_size"]:
    """Resample the last axis; as the width of one image, since torch 2.13 is wrong along images one pixel wide."""
    lines = values.reshape(1, -1, 1, values.shape[-1])
    made = functional.interpolate(lines, (1, to_size), mode=mode, antialias=True, align_corners=False)
    return made.view(*values.shape[:-1], to_size)
