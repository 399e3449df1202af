"""Fixed sines and cosines, added to the token embeddings."""

from __future__ import annotations

import math
from typing import Self, final

import torch
from jaxtyping import Float
from torch import Tensor

from milepost.catalog import Geometry, find_row
from milepost.encodings.angles import build_sinusoid
from milepost.encodings.base import Encoding, Positions, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import require_contiguous, require_whole
from milepost.options import SpecOptions

_RAW = math.sqrt(0.5)


@final
@register(find_row("sinusoidal"))
class SinusoidalPositions(Encoding):
    """Sines and cosines in turn along the width, one frequency a pair; no parameters, no limit.

    Args:
        dim: width of the token embeddings; an odd one leaves out the last cosine.
        theta: the longest wavelength is ``2 pi theta`` positions, nearly.
        rms: root mean square of the vectors. The paper's amplitude of 1 is rms 0.71, which drowns
            token embeddings of the usual 0.02; ``rms=raw`` in a spec asks for it all the same.

    Source: Vaswani et al. 2017, section 3.5. Differs: scaled to the embeddings beside it.

    >>> SinusoidalPositions(4, rms=0.71).vectors(range(1)).round(decimals=2).tolist()
    [[0.0, 1.0, 0.0, 1.0]]
    """

    def __init__(self, dim: int, *, theta: float = 10000.0, rms: float = _RAW) -> None:
        super().__init__()
        self.dim = dim
        given = self.row.read(theta=theta, rms=rms)
        self.theta = given.number("theta")
        self.rms = given.number("rms")
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model: ``rms=auto`` is the rms of the token embeddings beside it."""
        rms = options.number("rms", auto=geometry.embedding_rms, raw=_RAW)
        return cls(geometry.dim, theta=options.number("theta"), rms=rms)

    @property
    def scales(self) -> dict[str, float]:
        """Root mean square of the vectors."""
        return {"rms": self.rms}

    def vectors(
        self, positions: Positions, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch seq dim"]:
        """The vectors of ``positions``, float32, from angles in float64."""
        if not isinstance(positions, range):
            require_whole(positions)
            return build_sinusoid(positions, self.dim, theta=self.theta, rms=self.rms)
        require_contiguous(positions)

        def make() -> tuple[Tensor]:
            whole = torch.arange(positions.start, positions.stop, device=device)
            return (build_sinusoid(whole, self.dim, theta=self.theta, rms=self.rms),)

        key = (positions.start, positions.stop, str(device), self.dim, self.theta, self.rms)
        return self._memo.get(make, key=key)[0]

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.dim}, theta={self.theta:g}, rms={self.rms:.4g}"
