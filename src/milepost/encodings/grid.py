"""Places in an image: what the two-dimensional encodings share.

Positions of an image model are 0, 1, 2, ...: first ``prefix`` tokens without a place (class, registers),
then the patches row by row, top left to bottom right.
"""

from __future__ import annotations

from jaxtyping import Int64
from torch import Tensor

from milepost.encodings.base import Geometry
from milepost.errors import OptionError


def require_grid(name: str, geometry: Geometry) -> tuple[int, int]:
    """The rows and columns of patches of an image model.

    Raises:
        OptionError: MP105, a model of text.
    """
    if geometry.grid is None:
        raise OptionError(
            f"{name} is for images: it needs the rows and columns of their patches",
            got="a geometry without a grid, as text has it",
            fix=f"{name.removesuffix('2d')}, or Geometry(..., grid=(14, 14), prefix=1) for images",
        )
    return geometry.grid


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
