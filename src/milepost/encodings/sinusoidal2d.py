"""Fixed sines and cosines of an image's rows and columns."""

from __future__ import annotations

import math
from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.catalog import Geometry, find_row, require_grid
from milepost.encodings.angles import build_angles, build_frequencies
from milepost.encodings.base import Encoding, Positions, register
from milepost.encodings.grid import split_places
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import require_contiguous, require_whole
from milepost.options import SpecOptions

_RAW = math.sqrt(0.5)


@final
@register(find_row("sinusoidal2d"))
class Sinusoidal2dPositions(Encoding):
    """Sines and cosines of a patch's column in the first half of the width, of its row in the second.

    Each half holds all its sines, then all its cosines. The tokens of the prefix get zeros. Rows past the
    image have an answer, since only its number of columns is known here.

    Args:
        columns: patches in a row of the image.
        dim: width of the embeddings; where 4 does not divide it, a half leaves out its last cosine or the
            first half is one wider.
        prefix: class and register tokens before the patches.
        theta: the longest wavelength is ``2 pi theta`` patches, nearly.
        rms: root mean square of the patches' vectors; ``rms=raw`` in a spec is the amplitude 1, 0.71.

    Source: He et al. 2022 (MAE), appendix A.1, whose code has this order (columns first), with zeros for
    the class token. Differs: scaled to the embeddings beside it, any width.

    >>> Sinusoidal2dPositions(2, 8, prefix=1).vectors(range(3)).round(decimals=2)
    tensor([[0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 1.0000, 1.0000, 0.0000, 0.0000, 1.0000, 1.0000],
            [0.8400, 0.0100, 0.5400, 1.0000, 0.0000, 0.0000, 1.0000, 1.0000]])
    """

    def __init__(
        self, columns: int, dim: int, *, prefix: int = 0, theta: float = 10000.0, rms: float = _RAW
    ) -> None:
        super().__init__()
        self.columns = columns
        self.dim = dim
        self.prefix = prefix
        given = self.row.read(theta=theta, rms=rms)
        self.theta = given.number("theta")
        self.rms = given.number("rms")
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for an image model: ``rms=auto`` is the rms of the embeddings beside it."""
        _, columns = require_grid(cls.name, geometry)
        rms = options.number("rms", auto=geometry.embedding_rms, raw=_RAW)
        return cls(columns, geometry.dim, prefix=geometry.prefix, theta=options.number("theta"), rms=rms)

    @property
    def scales(self) -> dict[str, float]:
        """Root mean square of the patches' vectors."""
        return {"rms": self.rms}

    def at_grid(self, grid: tuple[int, int]) -> Sinusoidal2dPositions:
        """The same for images of another number of columns."""
        if grid[1] == self.columns:
            return self
        return Sinusoidal2dPositions(grid[1], self.dim, prefix=self.prefix, theta=self.theta, rms=self.rms)

    def vectors(
        self, positions: Positions, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch seq dim"]:
        """The vectors of ``positions``, float32, from angles in float64."""
        if not isinstance(positions, range):
            require_whole(positions)
            return self._build(positions)
        require_contiguous(positions)
        span = positions.start, positions.stop
        key = (*span, str(device), self.columns, self.dim, self.prefix, self.theta, self.rms)
        return self._memo.get(lambda: (self._build(torch.arange(*span, device=device)),), key=key)[0]

    def _build(self, positions: Int64[Tensor, "*batch seq"]) -> Tensor:
        row, column = split_places(positions, self.columns, self.prefix)
        halves = []
        for place, width in ((column, (self.dim + 1) // 2), (row, self.dim // 2)):
            angles = build_angles(place, build_frequencies(width, theta=self.theta, device=place.device))
            halves += [angles.sin(), angles.cos()[..., : width // 2]]
        waves = (torch.cat(halves, -1) * (self.rms * math.sqrt(2.0))).float()
        return waves.masked_fill((positions < self.prefix)[..., None], 0.0)

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.columns} columns, {self.dim}, prefix={self.prefix}, theta={self.theta:g}"
