"""Sandwich: the inner product of two sinusoids, added to the scores."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.catalog import Geometry, find_row
from milepost.encodings.angles import build_angles, build_frequencies
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import build_distances
from milepost.options import SpecOptions


@final
@register(find_row("sandwich"))
class SandwichBias(Encoding):
    """Adds ``sum_i cos(distance * w_i)``, divided by ``8 h / heads`` for head h = 1, 2, ..., to the scores.

    No parameters, no limit.

    Args:
        heads: attention heads.
        width: dimensions of the sinusoid, whatever the model's; even.

    Raises:
        OptionError: MP105, an odd width or one below 2.

    Source: Chi et al. 2023 (Dissecting Transformer Length Extrapolation), section 5 and its listing.

    >>> positions = torch.arange(2)
    >>> SandwichBias(8, width=4).bias(torch.zeros(1, 8, 2, 4), positions, positions, scaling=1.0)[0]
    tensor([[2.0000, 1.5403],
            [1.5403, 2.0000]])
    """

    relative = True

    def __init__(self, heads: int, *, width: int = 128) -> None:
        super().__init__()
        self.heads = heads
        self.width = self.row.read(width=width).whole("width")
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's heads."""
        return cls(geometry.heads, width=options.whole("width"))

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"]:
        """The product of each pair, float32."""

        def make() -> tuple[Tensor]:
            distance = build_distances(query_positions, key_positions)
            frequencies = build_frequencies(self.width, device=distance.device)
            product = build_angles(distance, frequencies).cos().sum(-1)[..., None, :, :].float()
            ratios = torch.arange(1, self.heads + 1, device=distance.device) * (8 / self.heads)
            return (product / ratios[:, None, None],)

        return self._memo.get(make, query_positions, key_positions, key=(self.heads, self.width))[0]

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.heads}, width={self.width}"
