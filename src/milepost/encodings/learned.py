"""The learned position table: one trained row a position."""

from __future__ import annotations

from typing import Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row, require_grid
from milepost.encodings.angles import build_sinusoid
from milepost.encodings.base import Encoding, register
from milepost.encodings.grid import STRETCHED
from milepost.encodings.low_rank import LowRankPositions
from milepost.encodings.table import PositionTable
from milepost.errors import OptionError
from milepost.options import SpecOptions


@final
@register(find_row("learned"))
class LearnedPositions(PositionTable):
    """A trainable table ``weight`` of shape ``(max_len, dim)``, added to the token embeddings.

    Contiguous positions are a slice of the table, so their gradient is a sum over the batch; explicit
    ones are gathered. Both gradients are deterministic. See ``PositionTable`` for what happens past
    the end and when it is checked.

    Args:
        max_len: rows, and so usable positions.
        dim: width of the token embeddings.
        init: ``normal`` (mean 0), ``zeros``, or ``sinusoidal`` (a sinusoid of rms ``std``).
        std: scale of the initial values.
        past: ``error``, ``clamp`` (the last row again), ``tile`` (from row 0 again) or ``group`` (see
            ``PositionTable.group``); ``linear`` or ``bicubic`` for images (see ``PositionTable.at_grid``).
        count: keep in the buffer ``trained_counts`` how often each row was used in training.
        device: where the table lives.
        dtype: of the table; positions stay int64 whatever it is.

    Raises:
        OptionError: MP105, a size below 1 or an unknown word.

    Source: Gehring et al. 2017, section 3.1; Devlin et al. 2019. Differs: overflow rules.

    >>> table = LearnedPositions(512, 768)
    >>> sum(parameter.numel() for parameter in table.parameters())
    393216
    >>> table(torch.zeros(2, 10, 768)).shape
    torch.Size([2, 10, 768])
    """

    def __init__(
        self,
        max_len: int,
        dim: int,
        *,
        init: str = "normal",
        std: float = 0.02,
        past: str = "error",
        count: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(max_len, dim, past, count=count, device=device)
        given = self.row.read(init=init, std=std)
        self.init = given.word("init")
        self.std = 0.0 if init == "zeros" else given.number("std", auto=0.02)
        self.weight = nn.Parameter(torch.empty(max_len, dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_table(cls, table: Float[Tensor, "rows dim"], *, past: str = "error") -> Self:
        """Build from given rows, copied; they keep their dtype and device.

        ``std`` becomes their root mean square, measured in float32.

        Raises:
            OptionError: MP105, a tensor that is no table of floating-point rows.

        >>> LearnedPositions.from_table(torch.ones(4, 2)).weight.sum().item()
        8.0
        """
        if table.ndim != 2 or not table.is_floating_point():
            raise OptionError(
                "a position table has two axes, rows and dim, of floating-point numbers",
                got=f"shape {tuple(table.shape)}, {table.dtype}",
                fix="pass a tensor of shape (rows, dim)",
            )
        made = cls(*table.shape, past=past, init="zeros", device=table.device, dtype=table.dtype)
        with torch.no_grad():
            made.weight.copy_(table)
        if table.device.type != "meta":
            made.std = table.detach().float().square().mean().sqrt().item()
        return made

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Encoding:
        """Build for a model: ``std=auto`` is the rms of the token embeddings beside it.

        With ``rank`` above 0 this is a ``LowRankPositions``. ``rows`` above 0 takes the place of the model's own
        number of positions: rows that training does not reach keep their initial values.
        """
        rank, init, past = options.whole("rank"), options.word("init"), options.word("past")
        std, count = options.number("std", auto=geometry.embedding_rms), options.word("count") == "on"
        size = (cls.row.inside(options, geometry).max_len, geometry.dim)
        made: PositionTable
        if rank:
            made = LowRankPositions(*size, rank=rank, init=init, std=std, past=past, count=count)
        else:
            made = cls(*size, init=init, std=std, past=past, count=count)
        return made.lay_out(require_grid(f"past={past}", geometry)) if past in STRETCHED else made

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Give the table its initial values again, in place; nothing is used yet."""
        if self.trained_counts is not None:
            self.trained_counts.zero_()
        if self.init == "normal":
            self.weight.normal_(0.0, self.std)
        elif self.init == "zeros":
            self.weight.zero_()
        else:
            positions = torch.arange(self.max_len, device=self.weight.device)
            self.weight.copy_(build_sinusoid(positions, self.dim, rms=self.std))

    @property
    def scales(self) -> dict[str, float]:
        """Standard deviation (``normal``) or root mean square of the initial table."""
        return {"std": self.std}

    def _slice(self, start: int, stop: int) -> Float[Tensor, "rows dim"]:
        return self.weight[start:stop]

    def _gather(self, rows: Int64[Tensor, "*batch seq"]) -> Float[Tensor, "*batch seq dim"]:
        return nn.functional.embedding(rows, self.weight)
