"""FIRE: a small network maps the distance, as a share of the length, to a bias for each head."""

from __future__ import annotations

import math
from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import build_distances
from milepost.options import SpecOptions

_EPSILON = 1e-6


@final
@register(find_row("fire"))
class FireBias(Encoding):
    """Adds ``f(log(1 + c d) / log(1 + c max(L, i)))`` to the scores, for distance d and position i.

    f is a network of one hidden layer, c and L are learned, i is the later of the two positions. The
    same for all layers. The bias is not a function of the distance alone: past L the position counts too,
    so a model derives positions from its attention mask. c starts at 0.1, the network as torch's linear
    layers do.

    Args:
        heads: attention heads.
        width: of the hidden layer.
        threshold: initial L, in positions.
        device: where the parameters live.
        dtype: of the parameters; the bias is float32 whatever it is.

    Raises:
        OptionError: MP105, a size below 1.

    Source: Li et al. 2023 (FIRE), section 3.2 and appendix. Differs: i is the later position, so that
    bidirectional models have an answer too; causal ones see the paper's formula.

    >>> positions = torch.arange(3)
    >>> FireBias(2).bias(torch.zeros(1, 2, 3, 4), positions, positions, scaling=1.0).shape
    torch.Size([2, 3, 3])
    """

    def __init__(
        self,
        heads: int,
        *,
        width: int = 32,
        threshold: float = 512.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.threshold = self.row.read(width=width, threshold=threshold).number("threshold")
        self.c = nn.Parameter(torch.full((), 0.1, device=device, dtype=dtype))
        self.length = nn.Parameter(torch.ones((), device=device, dtype=dtype))  # in thresholds
        self.hidden = nn.Linear(1, width, device=device, dtype=dtype)
        self.out = nn.Linear(width, heads, device=device, dtype=dtype)
        self._memo = LastAnswer()

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The current L."""
        return (math.ceil(abs(self.length.item()) * self.threshold),)

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's heads."""
        return cls(geometry.heads, width=options.whole("width"), threshold=options.number("threshold"))

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"]:
        """The network's answer for each pair, float32."""

        def make() -> tuple[Tensor, Tensor]:
            distance = build_distances(query_positions, key_positions)
            later = torch.maximum(query_positions[..., :, None], key_positions[..., None, :])
            return distance.abs().float(), later.float()

        distance, later = self._memo.get(make, query_positions, key_positions)
        c, length = self.c.float().abs(), self.length.float().abs() * self.threshold
        share = torch.log1p(c * distance) / (torch.log1p(c * torch.maximum(later, length)) + _EPSILON)
        inner = nn.functional.linear(share[..., None], self.hidden.weight.float(), self.hidden.bias.float())
        answer = nn.functional.linear(inner.relu(), self.out.weight.float(), self.out.bias.float())
        return answer.movedim(-1, -3)

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"threshold={self.threshold:g}"
