"""T5's relative bias: one learned number for each head and bucket of distances."""

from __future__ import annotations

import math
from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row
from milepost.catalog.checks import check_buckets
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import build_distances
from milepost.options import SpecOptions


@final
@register(find_row("t5"))
class T5Bias(Encoding):
    """Adds ``weight[bucket of the distance, head]`` to the scores; one table for all layers.

    Half of the buckets hold one distance each, the other half grow logarithmically up to
    ``max_distance``, and the last takes everything beyond. Bidirectional models spend one half of all
    buckets on each direction. The table starts at zero: the model starts as one without positions,
    draws no random number for it, and the gradient reaches the table at once.

    Args:
        heads: attention heads.
        buckets: rows of the table; even, at least 4 where bidirectional.
        max_distance: where the last bucket begins; more than the distances with a bucket of their own.
        causal: whether a query sees only keys at or before it.
        device: where the table lives.
        dtype: of the table; the bias is float32 whatever it is.

    Raises:
        OptionError: MP105, buckets or a distance out of range.

    Source: Raffel et al. 2020, section 2.1, and the authors' code for the buckets. Differs: T5 does not
    scale its scores and starts from a normal distribution; host models here keep their scaling.

    >>> positions = torch.arange(3)
    >>> bias = T5Bias(2).bias(torch.zeros(1, 2, 3, 4), positions, positions, scaling=0.5)
    >>> tuple(bias.shape), bias.any().item()
    ((2, 3, 3), False)
    """

    relative = True

    def __init__(
        self,
        heads: int,
        *,
        buckets: int = 32,
        max_distance: int = 128,
        causal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_buckets(buckets, max_distance, causal)
        self.heads = heads
        self.buckets = buckets
        self.max_distance = max_distance
        self.causal = causal
        self.weight = nn.Parameter(torch.zeros(buckets, heads, device=device, dtype=dtype))
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's heads and direction."""
        return cls(
            geometry.heads,
            buckets=options.whole("buckets"),
            max_distance=options.whole("max_distance"),
            causal=geometry.causal,
        )

    @property
    def scales(self) -> dict[str, float]:
        """The table starts at zero."""
        return {"std": 0.0}

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"]:
        """The learned number of each head and pair, float32."""
        (buckets,) = self._memo.get(
            lambda: (self._buckets_of(build_distances(query_positions, key_positions)),),
            query_positions,
            key_positions,
            key=(self.buckets, self.max_distance, self.causal),
        )
        return nn.functional.embedding(buckets, self.weight.float()).movedim(-1, -3)

    def _buckets_of(self, distance: Tensor) -> Tensor:
        """Bucket of each distance, query position minus key position."""
        directed = self.buckets
        base: Tensor | int = 0
        if self.causal:
            distance = distance.clamp(min=0)
        else:
            directed //= 2
            base = (distance < 0) * directed
            distance = distance.abs()
        exact = directed // 2
        # float32 and this order of operations, as in the authors' code: trained tables rely on it
        share = (distance.clamp(min=1).float() / exact).log() / math.log(self.max_distance / exact)
        grown = (exact + (share * (directed - exact)).long()).clamp(max=directed - 1)
        return base + torch.where(distance < exact, distance, grown)

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.heads}, buckets={self.buckets}, max_distance={self.max_distance}, causal={self.causal}"
