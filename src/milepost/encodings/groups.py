"""Rows that neighbouring positions share, so that an input longer than a table fits it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


def group_rows(
    positions: Int64[Tensor, "*batch seq"],
    rows: int,
    *,
    real: Bool[Tensor, "batch seq"] | None = None,
    cached: bool = False,
) -> Int64[Tensor, "*batch seq"]:
    """The row of each position of inputs of any length.

    An input of L positions reads row ``position // ceil(L / rows)``, so within ``rows`` nothing changes.

    Args:
        positions: of all tokens of the inputs, or of those that a cache does not hold.
        rows: of the table.
        real: false for pads, which do not lengthen an input; all are real without it.
        cached: whether a cache holds the tokens before. Their groups cannot change any more: where the size of an
            input's groups would, its tokens get row ``rows``, which does not exist.

    Source: Zhu et al. 2024 (LongEmbed), grouped positions. Differs: the size follows each input's own length.

    >>> group_rows(torch.arange(6), 4).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    seen = positions if real is None else torch.where(real, positions, 0)
    sizes = _sizes(seen.amax(-1, keepdim=True) + 1, rows)
    grouped = (positions // sizes).clamp(max=rows - 1)
    if not cached:
        return grouped
    first = positions if real is None else torch.where(real, positions, torch.iinfo(torch.int64).max)
    before = first.amin(-1, keepdim=True)  # tokens that the cache holds
    return grouped.masked_fill((before > 0) & (_sizes(before, rows) != sizes), rows)


def _sizes(lengths: Tensor, rows: int) -> Tensor:
    """How many neighbours share a row in inputs of these lengths."""
    return ((lengths - 1) // rows + 1).clamp(min=1)
