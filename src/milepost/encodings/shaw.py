"""Shaw's relative keys: a learned vector for each distance, met by the query."""

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
@register(find_row("shaw"))
class ShawKeys(Encoding):
    """Adds ``scaling * query . weight[distance]`` to the scores; distances are clipped.

    Row ``max_distance + d`` belongs to distance d, query position minus key position. The table starts
    at zero: the model starts as one without positions, and the gradient reaches the table at once.

    Args:
        head_dim: width of one head.
        max_distance: distances beyond it, either way, share the outermost rows.
        device: where the table lives.
        dtype: of the table; the bias is float32 whatever it is.

    Raises:
        OptionError: MP105, a distance below 1.

    Source: Shaw et al. 2018, section 3.2, equation 5. Differs: keys only (no relative values), one table
    for all layers, rows from the query's side, zero at the start.

    >>> positions = torch.arange(3)
    >>> ShawKeys(4, max_distance=2).bias(torch.ones(1, 2, 3, 4), positions, positions, scaling=1.0).shape
    torch.Size([1, 2, 3, 3])
    """

    relative = True

    def __init__(
        self,
        head_dim: int,
        *,
        max_distance: int = 16,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.max_distance = self.row.read(max_distance=max_distance).whole("max_distance")
        self.weight = nn.Parameter(torch.zeros(2 * max_distance + 1, head_dim, device=device, dtype=dtype))
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's head width."""
        return cls(geometry.head_dim, max_distance=options.whole("max_distance"))

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
    ) -> Float[Tensor, "batch heads query key"]:
        """What each query finds at each distance, float32."""

        def make() -> tuple[Tensor]:
            distance = build_distances(query_positions, key_positions)
            rows = distance.clamp(-self.max_distance, self.max_distance) + self.max_distance
            return (rows[:, None] if rows.ndim == 3 else rows,)

        (rows,) = self._memo.get(make, query_positions, key_positions, key=self.max_distance)
        # each query meets each row once, then pairs pick from the few answers
        met = (query.float() * scaling) @ self.weight.float().mT
        return met.gather(-1, rows.expand(*met.shape[:-1], rows.shape[-1]))

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.weight.shape[1]}, max_distance={self.max_distance}"
