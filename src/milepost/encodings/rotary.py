"""Rotary encoding: queries and keys turn with their position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.encodings.angles import build_angles, build_frequencies, check_theta, widest
from milepost.encodings.base import Encoding, Geometry, register
from milepost.encodings.memo import LastAnswer
from milepost.encodings.positions import require_whole
from milepost.encodings.scaling import SCALINGS, build_scaled
from milepost.errors import OptionError
from milepost.spec import Spec, Value


@final
@register("rotary")
class RotaryPositions(Encoding):
    """Turns pairs of query and key dimensions, so that scores depend on relative distance alone.

    Pair i is dimensions i and i + width / 2 of the ``width = partial * head_dim`` that turn (the half-split order of GPT-NeoX and Llama, not the
    interleaved one of the paper and GPT-J; weights of the one do not fit the other). Angles are
    float64, the turn is float32, the result has the dtype that came in.

    Args:
        head_dim: width of one head; even.
        theta: the longest wavelength is ``2 pi theta`` positions, nearly.
        partial: share of the head that turns, from its first dimension on.
        frequencies: radians a position of each pair, instead of those of ``theta``.
        temperature: what cosines and sines are multiplied by, as YaRN asks.

    Raises:
        OptionError: MP105, an odd width or a base of 1 or less.

    Source: Su et al. 2021 (RoFormer), section 3.2.2; scalings: see ``scaling.py``; partial: Black et al. 2022
    (GPT-NeoX). Differs: the pairing.

    >>> query = torch.ones(1, 1, 1, 2)
    >>> turned, _ = RotaryPositions(2).rotate(query, query, torch.tensor([1]), torch.tensor([1]))
    >>> turned.flatten()  # cos 1 - sin 1, cos 1 + sin 1
    tensor([-0.3012,  1.3818])
    """

    relative = True
    defaults: ClassVar[Mapping[str, Value]] = {"theta": 10000.0, "partial": 1.0, "scaling": Spec("none")}
    nested: ClassVar[Mapping[str, Mapping[str, Mapping[str, Value]]]] = {"scaling": SCALINGS}

    def __init__(
        self,
        head_dim: int,
        *,
        theta: float = 10000.0,
        partial: float = 1.0,
        frequencies: tuple[float, ...] | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        width = int(head_dim * partial)
        if not 0 < partial <= 1 or width < 2 or width % 2:
            raise OptionError(
                "rotary needs an even width: it turns pairs of dimensions",
                got=f"head_dim={head_dim}, partial={partial:g}, so {width} dimensions",
                fix="change the width, the number of heads, or partial",
            )
        self.head_dim = head_dim
        self.width = width
        self.theta = check_theta(theta)
        self.frequencies = frequencies
        self.temperature = temperature
        self._memo = LastAnswer()
        self._copied = LastAnswer()

    @classmethod
    def from_spec(cls, options: Mapping[str, Value], geometry: Geometry) -> Self:
        """Build for a model's head width."""
        theta, partial = float(str(options["theta"])), float(str(options["partial"]))
        plain, scaling = cls(geometry.head_dim, theta=theta, partial=partial), options["scaling"]
        assert isinstance(scaling, Spec)
        if scaling.name == "none":
            return plain
        frequencies, temperature = build_scaled(scaling, plain.width, theta, geometry.max_len)
        return cls(
            geometry.head_dim,
            theta=theta,
            partial=partial,
            frequencies=tuple(frequencies.tolist()),
            temperature=temperature,
        )

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """Turn queries and keys by the angles of their positions."""
        own, others = self._memo.get_both(
            self._build,
            query_positions,
            key_positions,
            key=(self.width, self.theta, self.frequencies, self.temperature),
        )
        return self._turn(query, *own), self._turn(key, *others)

    def _turn(self, heads: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
        if self.width == self.head_dim:
            return turn(heads, cos, signed_sin)
        turning, still = heads.split((self.width, self.head_dim - self.width), -1)
        return torch.cat((turn(turning, cos, signed_sin), still), -1)

    def _build(self, positions: Tensor) -> tuple[Tensor, ...]:
        require_whole(positions)
        if self.frequencies is None:
            frequencies = build_frequencies(self.width, theta=self.theta, device=positions.device)
        else:
            frequencies = self._given(positions.device)
        angles = build_angles(positions, frequencies)
        return build_waves(angles, temperature=self.temperature)

    def _given(self, device: torch.device) -> Tensor:
        # kept by device: a copy from the host makes the device wait, so it is made once
        return self._copied.get(
            lambda: (torch.tensor(self.frequencies, dtype=widest(device), device=device),),
            key=(self.frequencies, str(device)),
        )[0]

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        given = "" if self.frequencies is None else f", temperature={self.temperature:.4g}, own frequencies"
        return f"{self.head_dim}, theta={self.theta:g}, width={self.width}{given}"


def build_waves(
    angles: Float[Tensor, "*batch seq pairs"], *, temperature: float = 1.0
) -> tuple[Float[Tensor, "*batch seq width"], Float[Tensor, "*batch seq width"]]:
    """Cosines and signed sines of each pair's angle, float32, as ``turn`` takes them."""
    cos, sin = (angles.cos() * temperature).float(), (angles.sin() * temperature).float()
    # the sign of the half that is subtracted is put in here, once for all heads and layers
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


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
