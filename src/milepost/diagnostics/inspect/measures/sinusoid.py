"""Is a table a fixed sinusoid?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

_LEAST_ROWS = 8
_ANGLES = 2e-3  # sin(position * frequency) in float32 is this far off at position 10,000
_ROUNDINGS = 8.0
_MOVES = 0.01


def is_sinusoid(
    positions: Float[np.ndarray, "positions dim"], rounding: float, grid: tuple[int, ...] | None = None
) -> bool:
    """Whether every dimension is a sine or cosine of the position, and all rows have one norm.

    A sampled wave of any frequency and phase obeys x[p + 1] + x[p - 1] = 2 cos(w) x[p] exactly. Training breaks this: rows that
    started as a sinusoid and were trained are not one.

    Args:
        positions: rows of positions. Not modified.
        rounding: relative rounding error of the stored values.
        grid: sides of the grid that the positions lie on in raster order: then waves run along each side.

    Source: Vaswani et al. 2017, section 3.5. Differs: any base, scale and order of dimensions, and He et al. 2021 for grids.

    >>> angles = np.arange(16)[:, None] / np.array([1.0, 10.0])
    >>> rows = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    >>> is_sinusoid(rows, 2.0**-24), is_sinusoid(rows + 0.01 * (rows > 0.5), 2.0**-24)
    (True, False)
    """
    rows = positions.astype(np.float64)
    tolerance = max(_ANGLES, _ROUNDINGS * rounding)
    norms = np.linalg.norm(rows, axis=1)
    if len(rows) < _LEAST_ROWS or norms.min() == 0 or np.ptp(norms) > tolerance * norms.mean():
        return False
    amplitude = norms.mean() * np.sqrt(2 / rows.shape[1])
    shape = grid if grid is not None and np.prod(grid) == len(rows) else (len(rows),)
    moves = False
    for axis, side in enumerate(shape):
        if side < 3:
            return False
        lines = np.moveaxis(rows.reshape(*shape, -1), axis, 0)  # side, the other sides, dim
        middle, around = lines[1:-1], lines[2:] + lines[:-2]
        others = tuple(range(lines.ndim - 1))
        energy = np.square(middle).sum(axis=others)
        factor = (around * middle).sum(axis=others) / np.maximum(energy, np.finfo(float).tiny)
        left = np.square(around - factor * middle).mean(axis=others)
        if (left > np.square(tolerance * amplitude)).any():
            return False
        moves |= bool((factor[energy > 0] < 2 - _MOVES).any())
    return moves
