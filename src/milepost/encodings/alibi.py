"""ALiBi: scores fall off linearly with distance, at a slope of each head's own."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.catalog import Geometry, find_row
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import build_distances
from milepost.errors import OptionError
from milepost.options import SpecOptions


def build_slopes(heads: int) -> list[float]:
    """Slopes of the heads: a falling geometric sequence from ``2 ** (-8 / heads)``.

    Where ``heads`` is no power of two, the slopes of the next lower power, then every other slope of
    the next higher one, as the authors' code has it.

    >>> build_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> build_slopes(3)
    [0.0625, 0.00390625, 0.25]
    """
    whole = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * (head + 1) / whole) for head in range(whole)]
    between = [2.0 ** (-4 * (head + 1) / whole) for head in range(0, 2 * whole, 2)]
    return slopes + between[: heads - whole]


@final
@register(find_row("alibi"))
class AlibiPositions(Encoding):
    """Subtracts ``slope * |query position - key position|`` from each score; no parameters, no limit.

    The distance counts both ways, so the same formula serves causal and bidirectional models; what a
    causal mask hides does not matter.

    Args:
        heads: attention heads; any number.

    Raises:
        OptionError: MP105, fewer than one head.

    Source: Press et al. 2022, section 3 and the authors' code for slopes. Differs: the paper is causal;
    the symmetric form is the one its authors suggest for encoders.

    >>> positions = torch.arange(3)
    >>> AlibiPositions(8).bias(torch.zeros(1, 8, 3, 4), positions, positions, scaling=1.0)[1]
    tensor([[-0.0000, -0.2500, -0.5000],
            [-0.2500, -0.0000, -0.2500],
            [-0.5000, -0.2500, -0.0000]])
    """

    relative = True

    def __init__(self, heads: int) -> None:
        super().__init__()
        if heads < 1:
            raise OptionError("alibi needs a head", got=f"heads={heads}", fix="give at least 1")
        self.heads = heads
        self._memo = LastAnswer()
        self._slopes = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's heads."""
        return cls(geometry.heads)

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"]:
        """Minus slope times distance, float32; one for all sequences where positions are shared."""

        def make() -> tuple[Tensor]:
            distance = build_distances(query_positions, key_positions).abs()
            return (distance[..., None, :, :] * self._falls(distance.device),)

        return self._memo.get(make, query_positions, key_positions, key=self.heads)[0]

    def _falls(self, device: torch.device) -> Tensor:
        def make() -> tuple[Tensor]:
            slopes = torch.tensor(build_slopes(self.heads), device="cpu")
            return (-slopes.to(device, non_blocking=True)[:, None, None],)

        return self._slopes.get(make, key=(self.heads, str(device)))[0]

    def extra_repr(self) -> str:
        """Heads, for printing the module."""
        return str(self.heads)
