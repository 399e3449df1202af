"""xPos: rotary whose turned pairs also fade with distance."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.catalog import Geometry, find_row, require_causal
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer, same_memory
from milepost.encodings.rotary import RotaryPositions
from milepost.options import SpecOptions

_LARGEST_EXPONENT = 80.0  # e ** 80 is near 5e34: products of two stay finite in float32


@final
@register(find_row("xpos"))
class XPos(Encoding):
    """Turns queries and keys as ``rotary`` does, then scales them so that far pairs of one score fade.

    Pair i of a query at position n is multiplied by ``zeta_i ** (n / scale_base)``, that of a key by its
    inverse, with ``zeta_i = (i / pairs + gamma) / (1 + gamma)``: scores depend on the distance alone. No
    centre is subtracted, so a cache of turned keys stays right; in float32 and bfloat16 the factors
    reach their bounds at some 32,000 positions with the defaults, in float16 at some 4,500.

    Args:
        head_dim: width of one head; even.
        theta: base of the angles.
        scale_base: positions over which a pair fades by ``zeta``.
        gamma: how little the fastest pair fades; above 0.
        causal: must be true: keys after the query would grow instead of fade.

    Raises:
        OptionError: MP105, a value out of range, or a bidirectional model.

    Source: Sun et al. 2022 (A Length-Extrapolatable Transformer), section 3.2, algorithm 1. Differs: the
    pairing is half-split, no centre is subtracted.

    >>> query, at = torch.ones(1, 1, 2, 4), torch.tensor([0, 512])
    >>> turned, _ = XPos(4).rotate(query, query, at, at)
    >>> turned.norm(dim=-1).flatten()
    tensor([2.0000, 0.9949])
    """

    relative = True

    def __init__(
        self,
        head_dim: int,
        *,
        theta: float = 10000.0,
        scale_base: float = 512.0,
        gamma: float = 0.4,
        causal: bool = True,
    ) -> None:
        super().__init__()
        given = self.row.read(scale_base=scale_base, gamma=gamma)
        require_causal(self.name, causal)
        self.turning = RotaryPositions(head_dim, theta=theta)
        self.head_dim = head_dim
        self.scale_base = given.number("scale_base")
        self.gamma = given.number("gamma")
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's head width."""
        theta, base, gamma = (options.number(name) for name in ("theta", "scale_base", "gamma"))
        return cls(geometry.head_dim, theta=theta, scale_base=base, gamma=gamma, causal=geometry.causal)

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """Turn and scale queries and keys."""
        turned, against = self.turning.rotate(query, key, query_positions, key_positions)
        positions: tuple[Tensor, ...] = (query_positions,)
        if not same_memory(query_positions, key_positions):
            positions += (key_positions,)
        fading, growing = self._memo.get(
            lambda: (self._exponents(positions[0]).exp(), (-self._exponents(positions[-1])).exp()),
            *positions,
            key=(self.head_dim, self.scale_base, self.gamma),
        )
        return (turned.float() * fading).to(query.dtype), (against.float() * growing).to(key.dtype)

    def _exponents(self, positions: Tensor) -> Tensor:
        half = self.head_dim // 2
        pairs = torch.arange(half, device=positions.device, dtype=torch.float32) / half
        logs = torch.log((pairs + self.gamma) / (1 + self.gamma))
        grown = positions[..., None].float() * torch.cat((logs, logs)) / self.scale_base
        grown = grown.clamp(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
        return grown[:, None] if positions.ndim == 2 else grown

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.head_dim}, scale_base={self.scale_base:g}, gamma={self.gamma:g}"
