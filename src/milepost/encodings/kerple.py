"""KERPLE: scores fall off with distance along a learned curve of each head's own."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import build_distances
from milepost.options import SpecOptions


@final
@register(find_row("kerple"))
class KerpleBias(Encoding):
    """Subtracts a learned kernel of the distance from the scores; one curve a head, for all layers.

    ``log``: ``r1 * log(1 + r2 * distance)``; ``power``: ``r1 * distance ** r2`` with ``r2`` in (0, 2).
    Both start uniform, as in the authors' code: ``log`` with ``r1`` in (0, 2) and ``r2`` in (0, 1),
    ``power`` with ``r1`` in (0, 1) and ``r2`` in (0, 2).

    Args:
        heads: attention heads.
        variant: ``log`` or ``power``.
        device: where the parameters live.
        dtype: of the parameters; the bias is float32 whatever it is.

    Raises:
        OptionError: MP105, an unknown variant.

    Source: Chi et al. 2022 (KERPLE), equations 3 and 4; initial values of their ParallelKerpleLog and
    ParallelKerplePower (github.com/chijames/KERPLE). Differs: parameters are stored as the logarithm
    of r1 and of r2 (log) or the logit of r2 / 2 (power), so that they stay in range and keep a gradient,
    where the authors clamp; distances count both ways.

    >>> positions = torch.arange(3)
    >>> bias = KerpleBias(2).bias(torch.zeros(1, 2, 3, 4), positions, positions, scaling=1.0)
    >>> bool((bias[:, 0].diff() < 0).all())
    True
    """

    relative = True

    def __init__(
        self,
        heads: int,
        *,
        variant: str = "log",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.variant = self.row.read(variant=variant).word("variant")
        self.raw_r1 = nn.Parameter(torch.empty(heads, device=device, dtype=dtype))
        self.raw_r2 = nn.Parameter(torch.empty(heads, device=device, dtype=dtype))
        self._memo = LastAnswer()
        self.reset_parameters()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's heads."""
        return cls(geometry.heads, variant=options.word("variant"))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial curves again, in place."""
        # the ends of the ranges stay out: their logarithm or logit is infinite
        self.raw_r1.uniform_(0.01, 1.99 if self.variant == "log" else 0.99).log_()
        self.raw_r2.uniform_(0.01, 0.99)
        if self.variant == "log":
            self.raw_r2.log_()
        else:
            self.raw_r2.logit_()

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"]:
        """Minus the kernel of the distance, float32."""
        (distance,) = self._memo.get(
            lambda: (build_distances(query_positions, key_positions).abs().float()[..., None, :, :],),
            query_positions,
            key_positions,
        )
        first, second = (raw.float()[:, None, None] for raw in (self.raw_r1.exp(), self.raw_r2))
        if self.variant == "log":
            return -first * torch.log1p(second.exp() * distance)
        # the gradient of 0 ** r2 would be NaN; its value is 0 whatever r2 is
        apart = distance.clamp(min=1.0) ** (2 * second.sigmoid())
        return -first * apart.where(distance > 0, 0.0)

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.raw_r1.numel()}, variant={self.variant!r}"
