"""Rotary encoding: queries and keys turn with their position."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from milepost.catalog import Geometry, find_row
from milepost.catalog.rotary import Turning, check_scaling, check_width, settle_rotary
from milepost.encodings.angles import build_angles, build_frequencies, widest
from milepost.encodings.base import Encoding, register
from milepost.encodings.memo import LastAnswer, same_memory
from milepost.encodings.positions import require_whole
from milepost.encodings.scaling import GROWING, build_scaled, read_temperature
from milepost.options import SpecOptions, word
from milepost.spec import Spec

_PLAIN = Spec("none")


@final
@register(find_row("rotary"))
class RotaryPositions(Encoding):
    """Turns pairs of query and key dimensions, so that scores depend on relative distance alone.

    Pair i is dimensions i and i + width / 2 of the ``width = partial * head_dim`` that turn (the half-split
    order of GPT-NeoX and Llama, not the interleaved one of the paper and GPT-J; weights of the one do not
    fit the other). With ``dynamic`` and ``longrope`` scaling, frequencies also depend on the number of
    tokens, once that exceeds the original length.

    Args:
        head_dim: width of one head; even.
        theta: the longest wavelength is ``2 pi theta`` positions, nearly.
        partial: share of the head that turns, from its first dimension on.
        scaling: with complete options and a number as ``original``; see ``scaling.py``.
        arithmetic: ``exact``: float64 angles, a float32 turn, and the dtype that came in. ``stock``: float32
            angles and a turn in the dtype that came in, as transformers does it, bit for bit.

    Raises:
        OptionError: MP105, an odd width, a base of 1 or less, or a scaling's option out of range.

    Source: Su et al. 2021 (RoFormer), section 3.2.2; scalings: see ``scaling.py``; partial: Black et al. 2022
    (GPT-NeoX). Differs: the pairing.

    >>> query = torch.ones(1, 1, 1, 2)
    >>> turned, _ = RotaryPositions(2).rotate(query, query, torch.tensor([1]), torch.tensor([1]))
    >>> turned.flatten()  # cos 1 - sin 1, cos 1 + sin 1
    tensor([-0.3012,  1.3818])
    """

    relative = True

    def __init__(
        self,
        head_dim: int,
        *,
        theta: float = 10000.0,
        partial: float = 1.0,
        scaling: Spec = _PLAIN,
        arithmetic: str = "exact",
    ) -> None:
        super().__init__()
        given = find_row("rotary").read(theta=theta, partial=partial)
        self.head_dim = head_dim
        self.width = check_width(head_dim, given.number("partial"))
        self.theta = given.number("theta")
        check_scaling(scaling, self.width)
        self.scaling = scaling
        self.stock = word("exact", "stock").read("rotary", "arithmetic", arithmetic) == "stock"
        self.temperature = read_temperature(scaling)
        self.frequencies = tuple(self._scaled(None, "cpu").tolist())
        self.sees_length = scaling.name in GROWING
        self.relative = not self.sees_length
        self._memo = LastAnswer()
        self._copied = LastAnswer()
        self._long = LastAnswer()

    @classmethod
    def settle(cls, options: SpecOptions, geometry: Geometry) -> SpecOptions:
        """Options as the model's own rotary settings have them; in other models, theta is 10,000."""
        return settle_rotary(options, geometry)

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build for a model's head width; in a model that is rotary itself, with its arithmetic."""
        turning = Turning.of(options, geometry)
        return cls(
            geometry.head_dim,
            theta=turning.theta,
            partial=turning.partial,
            scaling=turning.scaling,
            arithmetic="stock" if geometry.rotary else "exact",
        )

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The original length of scalings that change past it."""
        return () if self.relative else (int(SpecOptions(self.scaling.options).number("original")),)

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """Turn queries and keys by the angles of their positions."""
        dtype = torch.float32
        if self.stock and not torch.is_autocast_enabled(query.device.type):
            dtype = query.dtype
        settings = (self.width, self.theta, self.scaling, self.stock, dtype)
        if self.relative:
            own, others = self._memo.get_both(
                lambda positions: self._build(positions, None, dtype),
                query_positions,
                key_positions,
                key=settings,
            )
        else:
            parts = self._memo.get(
                lambda: self._build_both(query_positions, key_positions, dtype),
                query_positions,
                key_positions,
                key=settings,
            )
            own, others = parts[:2], parts[-2:]
        return self._turn(query, *own), self._turn(key, *others)

    def _turn(self, heads: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
        one = _turn_stock if self.stock else turn
        if self.width == self.head_dim:
            return one(heads, cos, signed_sin)
        turning, still = heads.split((self.width, self.head_dim - self.width), -1)
        return torch.cat((one(turning, cos, signed_sin), still), -1)

    def _build_both(
        self, query_positions: Tensor, key_positions: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        """Waves of queries and keys, once where they are the same."""
        # the newest token is a query; keys may be places of a cache that are not filled yet
        own = self._build(query_positions, query_positions, dtype)
        if same_memory(query_positions, key_positions):
            return own
        return own + self._build(key_positions, query_positions, dtype)

    def _build(self, positions: Tensor, newest: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, ...]:
        require_whole(positions)
        frequencies = self._frequencies(positions.device)
        if newest is not None:
            length = newest.amax(-1, keepdim=True)[..., None] + 1
            frequencies = self._grown(length).where(length > self.thresholds[0], frequencies)
            return self._waves(positions[..., None].to(frequencies.dtype) * frequencies, dtype)
        return self._waves(build_angles(positions, frequencies), dtype)

    def _waves(self, angles: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        return tuple(wave.to(dtype) for wave in build_waves(angles, temperature=self.temperature))

    def _frequencies(self, device: torch.device) -> Tensor:
        if self.scaling.name == "none" and not self.stock:
            return build_frequencies(self.width, theta=self.theta, device=device)

        def make() -> tuple[Tensor]:
            here = torch.tensor(self.frequencies, dtype=self._dtype(device), device="cpu")
            return (here.to(device, non_blocking=True),)

        return self._copied.get(make, key=(self.frequencies, str(device)))[0]

    def _grown(self, length: Tensor) -> Tensor:
        """Frequencies of inputs past the original length."""
        if self.scaling.name == "dynamic":
            return self._scaled(length, length.device)
        return self._long.get(lambda: (self._scaled(length, length.device),), key=str(length.device))[0]

    def _scaled(self, length: Tensor | None, device: torch.device | str) -> Tensor:
        return build_scaled(
            self.scaling, self.width, self.theta, longest=length, dtype=self._dtype(device), device=device
        )

    def _dtype(self, device: torch.device | str) -> torch.dtype:
        return torch.float32 if self.stock else widest(device)

    def extra_repr(self) -> str:
        """What the encoding was built with, for printing the module."""
        scaled = "" if self.scaling.name == "none" else f", scaling={self.scaling.name}"
        return f"{self.head_dim}, theta={self.theta:g}, width={self.width}{scaled}"


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


def _turn_stock(heads: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Turn pairs by the operations of transformers' ``apply_rotary_pos_emb``, in their order."""
    if cos.ndim == 3:
        cos, signed_sin = cos[:, None], signed_sin[:, None]
    swapped = heads.roll(heads.shape[-1] // 2, -1)
    return (heads * cos + swapped * signed_sin).to(heads.dtype)
