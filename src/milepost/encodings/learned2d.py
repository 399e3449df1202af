"""Learned positions of an image's patches: one vector a row, one a column."""

from __future__ import annotations

import math
from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row, require_grid
from milepost.encodings.base import register
from milepost.encodings.table import StoredPositions
from milepost.options import SpecOptions


@final
@register(find_row("learned2d"))
class Learned2dPositions(StoredPositions):
    """Adds ``rows[i] + columns[j]`` to the patch in row i, column j; tokens of the prefix have rows of their own.

    ``(height + width + prefix) * dim`` parameters, where a full table has ``(height * width + prefix) *
    dim``. See ``StoredPositions`` for when positions outside the image are found.

    Args:
        grid: rows and columns of patches.
        dim: width of the embeddings.
        prefix: class and register tokens before the patches.
        std: standard deviation of the initial vectors, sums of a row's and a column's.
        past: for images of another grid, ``error``, or ``bicubic``: vectors of rows and of columns are resampled, and
            so are their sums, in two dimensions.
        device: where the parameters live.
        dtype: of the parameters.

    Raises:
        OptionError: MP105, a size below 1, or a model of text.

    Source: Dosovitskiy et al. 2021 (ViT), appendix D.4, 2-dimensional positional embedding. Differs: the
    two vectors are added at full width, where they concatenate halves, and the prefix has rows.

    >>> table = Learned2dPositions((14, 14), 768, prefix=1)
    >>> sum(parameter.numel() for parameter in table.parameters()) // 768, table.usable_length
    (29, 197)
    """

    prefix: nn.Parameter | None

    def __init__(
        self,
        grid: tuple[int, int],
        dim: int,
        *,
        prefix: int = 0,
        std: float = 0.02,
        past: str = "error",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        height, width = grid
        given = self.row.read(past=past, std=std)
        super().__init__(prefix + height * width, dim, past, count=False, device=device)
        self.lay_out(grid)
        self.std = given.number("std")

        def make(vectors: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(vectors, dim, device=device, dtype=dtype))

        self.rows, self.columns = make(height), make(width)
        # no parameter at all without a prefix: optimisers and checkpoints stumble over empty ones
        self.register_parameter("prefix", make(prefix) if prefix else None)
        self.reset_parameters()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for an image model: ``std=auto`` is the rms of the embeddings beside it."""
        std = options.number("std", auto=geometry.embedding_rms)
        grid, past = require_grid(cls.name, geometry), options.word("past")
        return cls(grid, geometry.dim, prefix=geometry.prefix, std=std, past=past)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial vectors again, in place."""
        for part in (self.rows, self.columns):
            part.normal_(0.0, self.std / math.sqrt(2.0))  # their sum has std
        if self.prefix is not None:
            self.prefix.normal_(0.0, self.std)

    @property
    def scales(self) -> dict[str, float]:
        """Standard deviation of the initial vectors."""
        return {"std": self.std}

    def _whole(self) -> Float[Tensor, "rows dim"]:
        patches = (self.rows[:, None] + self.columns).flatten(0, 1)
        return patches if self.prefix is None else torch.cat((self.prefix, patches))

    def _slice(self, start: int, stop: int) -> Float[Tensor, "rows dim"]:
        return self._whole()[start:stop]

    def _gather(self, rows: Int64[Tensor, "*batch seq"]) -> Float[Tensor, "*batch seq dim"]:
        return nn.functional.embedding(rows, self._whole())

    def _remedy(self, enough: int) -> str:
        assert self.grid is not None
        return f"an image of {self.grid[0]} x {self.grid[1]} patches, or a table for a larger grid"
