"""Rotary encoding: queries and keys turn with their position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.encodings.angles import build_angles, build_frequencies, check_theta
from milepost.encodings.base import Encoding, Geometry, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import require_whole
from milepost.errors import OptionError
from milepost.spec import Value


@final
@register("rotary")
class RotaryPositions(Encoding):
    """Turns pairs of query and key dimensions, so that scores depend on relative distance alone.

    Pair i is dimensions i and i + head_dim / 2 (the half-split order of GPT-NeoX and Llama, not the
    interleaved one of the paper and GPT-J; weights of the one do not fit the other). Angles are
    float64, the turn is float32, the result has the dtype that came in.

    Args:
        head_dim: width of one head; even.
        theta: the longest wavelength is ``2 pi theta`` positions, nearly.

    Raises:
        OptionError: MP105, an odd width or a base of 1 or less.

    Source: Su et al. 2021 (RoFormer), section 3.2.2. Differs: the pairing.

    >>> query = torch.ones(1, 1, 1, 2)
    >>> turned, _ = RotaryPositions(2).rotate(query, query, torch.tensor([1]), torch.tensor([1]))
    >>> turned.flatten()  # cos 1 - sin 1, cos 1 + sin 1
    tensor([-0.3012,  1.3818])
    """

    relative = True
    defaults: ClassVar[Mapping[str, Value]] = {"theta": 10000.0}

    def __init__(self, head_dim: int, *, theta: float = 10000.0) -> None:
        super().__init__()
        if head_dim < 2 or head_dim % 2:
            raise OptionError(
                "rotary needs an even head width: it turns pairs of dimensions",
                got=f"head_dim={head_dim}",
                fix="change the width or the number of heads",
            )
        self.head_dim = head_dim
        self.theta = check_theta(theta)
        self._memo = LastAnswer()

    @classmethod
    def from_spec(cls, options: Mapping[str, Value], geometry: Geometry) -> Self:
        """Build for a model's head width."""
        return cls(geometry.head_dim, theta=float(str(options["theta"])))

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """Turn queries and keys by the angles of their positions."""
        positions: tuple[Tensor, ...] = (query_positions,)
        if key_positions is not query_positions:
            positions += (key_positions,)
        waves = self._memo.get(
            lambda: tuple(wave for each in positions for wave in self._build(each)),
            *positions,
            key=(self.head_dim, self.theta),
        )
        return turn(query, *waves[:2]), turn(key, *waves[-2:])

    def _build(self, positions: Tensor) -> tuple[Tensor, ...]:
        require_whole(positions)
        frequencies = build_frequencies(self.head_dim, theta=self.theta, device=positions.device)
        angles = build_angles(positions, frequencies)
        cos, sin = angles.cos().float(), angles.sin().float()
        # the sign of the half that is subtracted is put in here, once for all heads and layers
        return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        return f"{self.head_dim}, theta={self.theta:g}"


def turn(
    heads: Float[Tensor, "batch heads seq head_dim"],
    cos: Float[Tensor, "*batch seq head_dim"],
    signed_sin: Float[Tensor, "*batch seq head_dim"],
) -> Float[Tensor, "batch heads seq head_dim"]:
    """Turn half-split pairs; ``signed_sin`` holds -sin in its first half."""
    if cos.ndim == 3:
        cos, signed_sin = cos[:, None], signed_sin[:, None]
    wide = heads.float()
    swapped = wide.roll(heads.shape[-1] // 2, -1)
    return torch.addcmul(wide * cos, swapped, signed_sin).to(heads.dtype)
