"""The period of a table that repeats itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

LEAST_OVERLAP = 8
_ALIKE = 0.02
_COLUMNS = 64


def tile_period(rows: Float[np.ndarray, "rows dim"]) -> int | None:
    """The least period of a table that repeats, or None. Needs an overlap of 8 rows.

    A smooth table is alike at small distances too, so a period must be ten times nearer than the lags next to it.

    >>> tile_period(np.tile(np.random.default_rng(0).normal(size=(10, 8)), (2, 1)))
    10
    """
    n = len(rows)
    if n <= LEAST_OVERLAP:
        return None
    difference = _mean_squared_difference(rows)
    lags = np.arange(2, n - LEAST_OVERLAP + 1)
    nearby = np.minimum(difference[1], difference[lags - 1])
    found = lags[(difference[lags] <= _ALIKE) & (difference[lags] <= 0.1 * nearby) & (nearby > 1e-6)]
    return int(found[0]) if len(found) else None


def _mean_squared_difference(rows: np.ndarray) -> Float[np.ndarray, " lags"]:
    """Mean squared distance of rows by lag, in units of that of two rows drawn at random; by FFT, so any length will do."""
    n = len(rows)
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    products = np.zeros(n)
    for left in range(0, rows.shape[1], _COLUMNS):
        waves = np.fft.rfft(centred[:, left : left + _COLUMNS], 2 * n, axis=0)
        products += np.fft.irfft((np.abs(waves) ** 2).sum(axis=1), 2 * n)[:n]
    squares = np.concatenate([[0.0], np.cumsum(np.square(centred).sum(axis=1))])
    lags = np.arange(n)
    sums = squares[n - lags] + squares[n] - squares[lags] - 2 * products
    scale = 2 * squares[n] / n
    return sums / (n - lags) / scale if scale > 0 else np.zeros(n)
