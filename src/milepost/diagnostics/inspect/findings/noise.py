"""Are these rows noise? What rows look like that were drawn at random and never trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_LIMIT = 4.0
_CLIP = 5.0  # standard deviations at which one row's evidence ends
_LEAST_GAIN = 18.0  # nats: what a difference of 6 standard errors gains
_LEAST_HEAD = 4
_MOST_SPLITS = 64


def noise_band(dim: int, kurtosis: float = 3.0) -> float:
    """Relative distance from the common norm within which rows of independent values stay: 4 standard deviations.

    For Gaussian values 4 / sqrt(2 dim), and 1 row in 16,000 lies outside.
    """
    return float(_LIMIT * np.sqrt((kurtosis - 1) / (4 * dim)))


def measure_kurtosis(rows: Float[np.ndarray, "rows dim"]) -> float:
    """Kurtosis of the values of rows, each row scaled to norm 1: 3 for a Gaussian, 1.8 for uniform values.

    It says how much the norms of such rows vary. Adam with an L2 penalty shrinks every value of an untrained row by the same amount,
    not by the same share, which leaves a kurtosis above 3.
    """
    squares = np.square(_units(rows))
    return float((rows.shape[1] + 2) * np.square(squares).sum(axis=1).mean())


def is_noise(rows: Float[np.ndarray, "rows dim"]) -> bool:
    """Whether rows are consistent with independent draws of one distribution around zero.

    Three tests at 4 standard deviations each: the norms spread as such draws do, neighbours are not alike, and the rows share no
    direction. Weight decay shrinks all rows alike and keeps them so.

    Args:
        rows: at least 4. Not modified. Zero rows are not noise.
    """
    return bool(_noise_from(rows)[0])


def _noise_from(rows: Float[np.ndarray, "rows dim"]) -> Bool[np.ndarray, " rows"]:
    """``is_noise(rows[k:])`` for every k, all at once; False for the last 3."""
    n, dim = rows.shape
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    units = _units(rows)
    counts = n - np.arange(n)
    with np.errstate(all="ignore"):  # the last rows are too few to divide by
        relative = norms / norms.mean()
        mean = _sums(relative) / counts
        variance = np.maximum(_sums(relative**2) - counts * mean**2, 0.0) / (counts - 1)
        kurtosis = (dim + 2) * _sums((units**4).sum(axis=1)) / counts
        # the variance of n norms itself varies by sqrt(2 / (n - 1))
        spread = variance / mean**2 * 4 * dim / np.maximum(kurtosis - 1, 1e-6)
        sized = np.abs(spread - 1) <= _LIMIT * np.sqrt(2 / (counts - 1)) + 0.2
        neighbours = np.r_[_sums(np.einsum("rd,rd->r", units[1:], units[:-1])), 0.0] / (counts - 1)
        shared = np.square(_sums(units)).sum(axis=1) / counts
        alike = np.abs(neighbours) > _LIMIT / np.sqrt(dim * (counts - 1))
        ordered = alike | (np.abs(shared - 1) > _LIMIT * np.sqrt(2 / dim))
        return sized & ~ordered & (_sums(norms == 0) == 0) & (counts >= _LEAST_HEAD)


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums of the values from k on, for every k."""
    return np.cumsum(values[::-1], axis=0)[::-1]


def is_ordered(rows: Float[np.ndarray, "rows dim"]) -> bool:
    """Whether neighbours are alike, or all rows share a direction, by more than 4 standard deviations of random rows.

    Not the opposite of ``is_noise``: rows whose norms differ more than one distribution's are neither.
    """
    count, dim = rows.shape
    units = _units(rows)
    neighbours = np.einsum("rd,rd->r", units[1:], units[:-1]).mean()
    shared = np.square(units.sum(axis=0)).sum() / count
    return bool(
        abs(neighbours) > _LIMIT / np.sqrt(dim * (count - 1)) or abs(shared - 1) > _LIMIT * np.sqrt(2 / dim)
    )


def neighbour_scores(rows: Float[np.ndarray, "rows dim"], clip: float = _CLIP) -> Float[np.ndarray, " rows"]:
    """Cosine of each row with the row before it, in standard deviations of random rows, clipped; 0 for the first."""
    units = _units(rows)
    cosines = np.einsum("rd,rd->r", units[1:], units[:-1])
    return np.clip(np.r_[0.0, cosines * np.sqrt(rows.shape[1])], -clip, clip)


def noise_tail(rows: Float[np.ndarray, "rows dim"], least: int) -> int | None:
    """Where the noise at the end of a table begins, or None where the last ``least`` rows are not noise.

    The table is split where two models explain it best: before the split, neighbours and norms of any mean and spread; after
    it, noise of one size. What follows the split is split again as long as that explains it better.

    Source: maximum likelihood for one change point (Hinkley 1970), repeated as in binary segmentation (Scott & Knott 1974).
    Differs: only the right part is split again, and each row's evidence is clipped.
    """
    n, dim = rows.shape
    noise = _noise_from(rows)
    if n < least or not noise[n - least]:
        return None
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    alike = neighbour_scores(rows)
    # log norms, in standard deviations of such rows
    scale = noise_band(dim, measure_kurtosis(rows[n - least :])) / _LIMIT
    sizes = np.log(np.maximum(norms, 1e-30)) / scale
    sizes = np.clip(sizes - sizes[n - least :].mean(), -_CLIP, _CLIP)
    start = 0
    for _ in range(_MOST_SPLITS):
        if n - start < least + _LEAST_HEAD:
            return start
        split, gain = _best_split(alike[start:], sizes[start:], least)
        if gain < _LEAST_GAIN and noise[start]:
            return start
        start += split
    return n - least


def _best_split(
    alike: Float[np.ndarray, " rows"], sizes: Float[np.ndarray, " rows"], least: int
) -> tuple[int, float]:
    """The row from which on noise begins, and by how many nats the split explains the rows better than noise alone."""
    n = len(alike)
    splits = np.arange(_LEAST_HEAD, n - least + 1)
    before = _free_likelihood(alike)[splits] + _free_likelihood(sizes)[splits]
    after = _noise_likelihood(alike, centred=True)[splits] + _noise_likelihood(sizes, centred=False)[splits]
    whole = _noise_likelihood(alike, centred=True)[0] + _noise_likelihood(sizes, centred=False)[0]
    best = int(np.argmax(before + after))
    return int(splits[best]), float((before + after)[best] - whole)


def _free_likelihood(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " splits"]:
    """Log likelihood of the first k values under the normal that fits them best, of variance 1 or more, for every k."""
    counts = np.arange(len(values) + 1)
    sums, squares = (np.r_[0.0, np.cumsum(values**power)] for power in (1, 2))
    within = np.maximum(squares - sums**2 / np.maximum(counts, 1), 0.0)
    variance = np.maximum(within / np.maximum(counts, 1), 1.0)
    return -0.5 * (counts * np.log(variance) + within / variance)


def _noise_likelihood(values: Float[np.ndarray, " rows"], *, centred: bool) -> Float[np.ndarray, " splits"]:
    """Log likelihood of the values from k on under a normal of variance 1, around 0 or around their mean, for every k."""
    counts = len(values) - np.arange(len(values) + 1)
    sums, squares = (np.r_[np.cumsum(values[::-1] ** power)[::-1], 0.0] for power in (1, 2))
    within = squares if centred else np.maximum(squares - sums**2 / np.maximum(counts, 1), 0.0)
    return -0.5 * within


def _units(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Rows scaled to norm 1, float64; zero rows stay zero."""
    wide = rows.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(norms > 0, norms, 1.0)
