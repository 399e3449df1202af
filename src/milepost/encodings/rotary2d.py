"""Axial rotary encoding: half of the pairs turn with the patch's row, half with its column."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.catalog import Geometry, find_row, require_grid
from milepost.catalog.checks import check_quarters
from milepost.encodings.angles import build_angles, build_frequencies
from milepost.encodings.base import Encoding, register
from milepost.encodings.grid import split_places
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import require_whole
from milepost.encodings.rotary import build_waves, turn
from milepost.options import SpecOptions


@final
@register(find_row("rotary2d"))
class Rotary2dPositions(Encoding):
    """Turns queries and keys so that scores of two patches depend on their distance in rows and columns.

    Pair i is dimensions i and i + head_dim / 2; the first half of the pairs turns by the row, the second
    by the column, with the same frequencies. Tokens of the prefix are not turned. Rows past the image
    have an answer, since only its number of columns is known here.

    Args:
        columns: patches in a row of the image.
        head_dim: width of one head; 4 must divide it.
        prefix: class and register tokens before the patches.
        theta: the longest wavelength is ``2 pi theta`` patches, nearly; far below that of text, whose
            distances are longer.

    Raises:
        OptionError: MP105, a width that 4 does not divide, a base of 1 or less, or a model of text.

    Source: Heo et al. 2024 (Rotary Position Embedding for Vision Transformer), section 3.1, axial
    frequency. Differs: half-split pairs, the row first (the order of DINOv3).

    >>> query, at = torch.ones(1, 1, 3, 4), torch.tensor([0, 2, 3])  # class token, (0, 1), (1, 0)
    >>> turned, _ = Rotary2dPositions(2, 4, prefix=1).rotate(query, query, at, at)
    >>> turned[0, 0].round(decimals=2).tolist()[0]
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, columns: int, head_dim: int, *, prefix: int = 0, theta: float = 100.0) -> None:
        super().__init__()
        check_quarters(head_dim)
        self.columns = columns
        self.head_dim = head_dim
        self.prefix = prefix
        self.theta = self.row.read(theta=theta).number("theta")
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for an image model's head width."""
        _, columns = require_grid(cls.name, geometry)
        theta = options.number("theta")
        return cls(columns, geometry.head_dim, prefix=geometry.prefix, theta=theta)

    def at_grid(self, grid: tuple[int, int]) -> Rotary2dPositions:
        """The same for images of another number of columns."""
        if grid[1] == self.columns:
            return self
        return Rotary2dPositions(grid[1], self.head_dim, prefix=self.prefix, theta=self.theta)

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """Turn queries and keys by the angles of their places."""
        own, others = self._memo.get_both(
            self._build,
            query_positions,
            key_positions,
            key=(self.columns, self.head_dim, self.prefix, self.theta),
        )
        return turn(query, *own), turn(key, *others)

    def _build(self, positions: Tensor) -> tuple[Tensor, ...]:
        require_whole(positions)
        frequencies = build_frequencies(self.head_dim // 2, theta=self.theta, device=positions.device)
        # a token of the prefix counts as row 0, column 0, where the angle is 0
        places = split_places(positions, self.columns, self.prefix)
        return build_waves(torch.cat([build_angles(place, frequencies) for place in places], -1))

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.columns} columns, {self.head_dim}, prefix={self.prefix}, theta={self.theta:g}"
