"""Encodings that replace the positions they are given: randomized and shifted ones."""

from __future__ import annotations

import abc
from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row
from milepost.encodings.base import Encoding, Positions, build, register
from milepost.encodings.positions import require_contiguous, require_whole
from milepost.errors import PastTheEnd
from milepost.options import SpecOptions


class Remapped(Encoding, abc.ABC):
    """Wraps an encoding and replaces its positions, through ``remap`` alone.

    Positions moved at random are no places in an image, so encodings that need a grid are refused. The
    hooks are those of ``inner``, on whatever positions the model hands them.
    """

    def __init__(self, inner: Encoding) -> None:
        super().__init__()
        self.inner = inner
        self.places = inner.places
        self.relative = inner.relative
        self.sees_length = inner.sees_length

    @property
    def usable_length(self) -> int | None:
        """What the wrapped encoding says."""
        return self.inner.usable_length

    @property
    def thresholds(self) -> tuple[int, ...]:
        """What the wrapped encoding says."""
        return self.inner.thresholds

    @property
    def scales(self) -> dict[str, float]:
        """What the wrapped encoding says."""
        return self.inner.scales

    def vectors(
        self, positions: Positions, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch seq dim"] | None:
        """What the wrapped encoding answers."""
        return self.inner.vectors(positions, device=device)

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """What the wrapped encoding answers."""
        return self.inner.rotate(query, key, query_positions, key_positions)

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"] | None:
        """What the wrapped encoding answers."""
        return self.inner.bias(query, query_positions, key_positions, scaling=scaling)


@final
@register(find_row("randomized"))
class RandomizedPositions(Remapped):
    """Positions 0, 1, 2, ... become that many different ones out of ``max_len``, in order.

    A sequence of n tokens is placed at n positions; pads take none. In training, each forward pass draws
    once for the whole batch, from torch's global generator of the device. In evaluation a model keeps to
    one draw, which the buffer ``draw`` numbers: a sequence is answered the same in each call, on each
    machine and whatever its neighbours, and torch's random state is left alone. The number is drawn when
    the encoding is built, so that models of other seeds are evaluated at other positions. A table inside
    gets ``max_len`` rows.

    Args:
        inner: the encoding whose positions are drawn.
        max_len: positions to draw from; at least the longest input.

    Raises:
        OptionError: MP105, fewer than one position.

    Source: Ruoss et al. 2023 (Randomized Positional Encodings), section 3. Differs: they draw anew for
    each batch in evaluation too.

    >>> from milepost.encodings import build, Geometry
    >>> encoding = build("randomized(inner=alibi,max_len=100)", Geometry(8, 2, 4, 16)).train()
    >>> drawn = encoding.remap(range(5), batch=2)
    >>> bool((drawn.diff() > 0).all()), drawn.shape
    (True, torch.Size([5]))
    """

    def __init__(self, inner: Encoding, *, max_len: int) -> None:
        super().__init__(inner)
        self.relative = False
        self.sees_length = True
        self.max_len = self.row.read(max_len=max_len).whole("max_len")
        self.register_buffer("draw", torch.randint(2**31, ()))
        self.draw: Tensor
        self.register_load_state_dict_pre_hook(_number_draw)

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build the inner encoding for ``max_len`` positions."""
        inner = build(options.spec("inner"), cls.row.inside(options, geometry))
        return cls(inner, max_len=options.whole("max_len"))

    def remap(
        self, positions: Positions, *, batch: int, device: torch.device | str | None = None
    ) -> Positions:
        """Positions of tokens 0, 1, 2, ... of each sequence among ``max_len``, in order.

        Raises:
            PastTheEnd: MP101, an input longer than ``max_len``.
        """
        if isinstance(positions, range):
            require_contiguous(positions)
            length = positions.stop
        else:
            require_whole(positions)
            length, device = positions.shape[-1], positions.device
        if length > self.max_len:
            raise PastTheEnd(
                f"{length} positions cannot be drawn out of {self.max_len}",
                got=f"max_len={self.max_len}, an input of {length}",
                fix=f"shorten the input, or use randomized(max_len={2 * length})",
            )
        order = torch.randperm(self.max_len, device=device) if self.training else self._order(device)
        if isinstance(positions, range):
            return order[:length].sort().values[positions.start :]
        if not positions.numel():
            return positions
        # a sequence of n tokens is placed at the first n of the order
        taken = order.argsort() <= positions.amax(-1, keepdim=True)
        drawn = torch.searchsorted(taken.cumsum(-1), positions + 1)
        return torch.where(positions < self.max_len, drawn, positions)

    def _order(self, device: torch.device | str | None) -> Int64[Tensor, " max_len"]:
        """All positions in the random order that belongs to ``draw``.

        Sorted by a hash that maps no two 32-bit numbers to one: unlike a generator of torch it is the same on
        all devices and in all versions, needs no copy from the host, and compiles.
        Source: C. Wellons, hash-prospector, lowbias32.
        """
        hashed = torch.arange(self.max_len, device=device) + self.draw.to(device)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            hashed = ((hashed ^ (hashed >> shift)) * factor) & 0xFFFFFFFF
        return hashed.argsort()


@final
@register(find_row("shape"))
class ShiftedPositions(Remapped):
    """In training, each sequence's positions are shifted by a random number, 0 to ``max_shift``.

    One draw per sequence and forward pass, from torch's global generator of the device. In evaluation
    mode nothing changes, as in the paper, which shifts during training only. A table inside gets ``max_shift`` rows more than the model's positions. An
    encoding that knows distances alone is not changed by it.

    Args:
        inner: the encoding whose positions are shifted.
        max_shift: the largest shift, in positions.

    Raises:
        OptionError: MP105, a negative shift.

    Source: Kiyono et al. 2021 (SHAPE), section 3. Differs: any encoding may be inside, not sinusoids
    alone.

    >>> from milepost.encodings import build, Geometry
    >>> encoding = build("shape(inner=sinusoidal)", Geometry(8, 2, 4, 16)).train()
    >>> encoding.remap(range(3), batch=2).diff().tolist()
    [[1, 1], [1, 1]]
    """

    def __init__(self, inner: Encoding, *, max_shift: int) -> None:
        super().__init__(inner)
        self.max_shift = self.row.read(max_shift=max_shift).whole("max_shift")

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Build the inner encoding with room for the shift."""
        inner = build(options.spec("inner"), cls.row.inside(options, geometry))
        return cls(inner, max_shift=options.whole("max_shift"))

    def remap(
        self, positions: Positions, *, batch: int, device: torch.device | str | None = None
    ) -> Positions:
        """Shifted positions in training, of shape ``(batch, seq)``."""
        if not self.training:
            return positions
        if isinstance(positions, range):
            require_contiguous(positions)
            positions = torch.arange(positions.start, positions.stop, device=device)
        require_whole(positions)
        return positions + torch.randint(0, self.max_shift + 1, (batch, 1), device=positions.device)


def _number_draw(module: nn.Module, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
    """Number the draw of a state that was saved before there was one."""
    state.setdefault(prefix + "draw", torch.zeros((), dtype=torch.int64))
