"""Are these rows noise? What rows look like that were drawn at random and never trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

_LIMIT = 4.0


def noise_band(dim: int) -> float:
    """Relative distance from the common norm within which rows of one Gaussian stay, but for 1 in 16,000: 4 / sqrt(2 dim)."""
    return _LIMIT / np.sqrt(2 * dim)


def is_noise(rows: Float[np.ndarray, "rows dim"]) -> bool:
    """Whether rows are consistent with independent draws of one isotropic Gaussian around zero.

    Three tests at 4 standard deviations each: the norms spread as such draws do, neighbours are not alike, and the rows share no
    direction. AdamW's weight decay shrinks all rows alike and keeps them so.

    Args:
        rows: at least 4; left untouched. Zero rows are no noise.
    """
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    if not norms.all() or is_ordered(rows):
        return False
    # the variance of n norms itself varies by sqrt(2 / (n - 1))
    spread = norms.var(ddof=1) / norms.mean() ** 2 * 2 * rows.shape[1]
    return bool(abs(spread - 1) <= _LIMIT * np.sqrt(2 / (len(rows) - 1)) + 0.2)


def is_ordered(rows: Float[np.ndarray, "rows dim"]) -> bool:
    """Whether neighbours are alike, or all rows share a direction, by more than 4 standard deviations of random rows.

    Not the contrary of ``is_noise``: rows whose norms differ more than one Gaussian's are neither.
    """
    count, dim = rows.shape
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    units = rows / np.where(norms > 0, norms, 1.0)[:, None]
    neighbours = np.einsum("rd,rd->r", units[1:], units[:-1]).mean()
    shared = np.square(units.sum(axis=0)).sum() / count
    return bool(
        abs(neighbours) > _LIMIT / np.sqrt(dim * (count - 1)) or abs(shared - 1) > _LIMIT * np.sqrt(2 / dim)
    )


def noise_tail(rows: Float[np.ndarray, "rows dim"], least: int) -> int | None:
    """Where the noise at the end of a table begins, or None where the last ``least`` rows are no noise.

    Grows from the end while norms stay in one band, then halves its way to a tail that is noise as a whole.
    """
    n, dim = rows.shape
    if n < least or not is_noise(rows[n - least :]):
        return None
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    band = noise_band(dim)
    start = n - least
    while start > 0:
        level = np.sqrt(np.mean(np.square(norms[start:])))
        if abs(norms[start - 1] / level - 1) > band:
            break
        start -= 1
    while start < n - least and not is_noise(rows[start:]):
        start += max(1, (n - least - start) // 2)
    return start
