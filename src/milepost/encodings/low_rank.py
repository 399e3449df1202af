"""A learned position table of low rank: fewer parameters where memory counts."""

from __future__ import annotations

import functools
import math
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row
from milepost.catalog.checks import check_rank
from milepost.encodings.base import Encoding
from milepost.encodings.row_table import build_table
from milepost.encodings.table import StoredPositions
from milepost.options import SpecOptions


@final
class LowRankPositions(StoredPositions):
    """A table ``left @ right`` of rank at most ``rank``: ``rank * (max_len + dim)`` parameters.

    In a spec it is ``learned(rank=r)``. See ``StoredPositions`` for what happens past the end.

    Args:
        max_len: rows, and so usable positions.
        dim: width of the token embeddings.
        rank: columns of ``left`` and rows of ``right``; at most the smaller of the two sizes.
        init: ``normal``, where the product has standard deviation ``std``, or ``zeros``, where ``right``
            is zero and ``left`` is not, so that a gradient flows.
        std: scale of the initial table.
        past: ``error``, ``clamp`` (the last row again), ``tile`` (from row 0 again) or ``group`` (see
            ``StoredPositions.group``); ``linear`` or ``bicubic`` for images (see ``StoredPositions.at_grid``).
        count: keep in the buffer ``trained_counts`` how often each row was used in training.
        device: where the factors live.
        dtype: of the factors.

    Raises:
        OptionError: MP105, a rank out of range or an unknown word.

    Source: Lan et al. 2020 (ALBERT), section 3.1, whose factorisation is of the token table. Differs:
    the position table.

    >>> table = LowRankPositions(512, 768, rank=16)
    >>> sum(parameter.numel() for parameter in table.parameters())
    20480
    """

    def __init__(
        self,
        max_len: int,
        dim: int,
        *,
        rank: int,
        init: str = "normal",
        std: float = 0.02,
        past: str = "error",
        count: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(max_len, dim, past, count=count, device=device)
        check_rank(rank, init, max_len, dim)
        given = find_row("learned").read(init=init, std=std)
        self.init = given.word("init")
        self.std = 0.0 if init == "zeros" else given.number("std", auto=0.02)
        self.left = nn.Parameter(torch.empty(max_len, rank, device=device, dtype=dtype))
        self.right = nn.Parameter(torch.empty(rank, dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Encoding:
        """Build for a model from the options of ``learned``, see ``build_table``."""
        return build_table(functools.partial(cls, rank=options.whole("rank")), options, geometry)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Give both factors their initial values again, in place; nothing is used yet."""
        if self.trained_counts is not None:
            self.trained_counts.zero_()
        rank = self.left.shape[1]
        # each number of the product sums rank products, and both factors share the scale
        scale = math.sqrt((self.std or 0.02) / math.sqrt(rank))
        self.left.normal_(0.0, scale)
        self.right.normal_(0.0, scale)
        if self.init == "zeros":
            self.right.zero_()

    @property
    def scales(self) -> dict[str, float]:
        """Standard deviation of the initial table."""
        return {"std": self.std}

    def _slice(self, start: int, stop: int) -> Float[Tensor, "rows dim"]:
        return self.left[start:stop] @ self.right

    def _gather(self, rows: Int64[Tensor, "*batch seq"]) -> Float[Tensor, "*batch seq dim"]:
        return nn.functional.embedding(rows, self.left) @ self.right
