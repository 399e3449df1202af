"""Pieces of long arrays as the rows of a batch, padded on the right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64

IGNORED = -100
"""Label of a token that counts for nothing; what torch's cross-entropy passes over."""
TOKENS_A_BATCH = 4_096
"""Of an evaluation; small enough for the caches of one core."""


def gather(
    values: Int[np.ndarray, " tokens"],
    starts: Int[np.ndarray, " rows"],
    ends: Int[np.ndarray, " rows"],
    length: int,
    fill: int,
) -> Int64[np.ndarray, "rows length"]:
    """Rows of ``values``, each from a start to its end, at most ``length``; ``fill`` behind them.

    >>> gather(np.array([5, 6, 7, 8]), np.array([0, 2]), np.array([2, 4]), 3, -1).tolist()
    [[5, 6, -1], [7, 8, -1]]
    """
    places = starts[:, None] + np.arange(length)
    return np.where(places < ends[:, None], values[np.minimum(places, len(values) - 1)], fill).astype(
        np.int64
    )
