"""How alike rows are, and whether likeness falls with distance.

All four read the Gram matrix ``rows @ rows.T``, float64, which is built once for all measures of a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Gram = Float[np.ndarray, "rows rows"]


def cosines(gram: Gram) -> Gram:
    """Cosine similarity of every pair of rows, 1 on the diagonal; a zero row is at 0 to all others.

    >>> cosines(np.array([[1.0, 0.0], [0.0, 4.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    norms = np.sqrt(np.diag(gram))
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    similar = gram * inverse[:, None] * inverse
    np.fill_diagonal(similar, 1.0)
    return similar


def mean_by_distance(matrix: Gram) -> Float[np.ndarray, " rows"]:
    """Mean of each diagonal: entry ``k`` is the mean over pairs of rows at distance ``k``; entry 0 is the diagonal's own.

    >>> mean_by_distance(np.array([[1.0, 0.5], [0.5, 1.0]])).tolist()
    [1.0, 0.5]
    """
    return np.array([np.diagonal(matrix, k).mean() for k in range(len(matrix))])


def order_accuracy(gram: Gram) -> float:
    """Share of rows whose nearest row, by Euclidean distance, is the one before or after; 1 for a smooth table.

    Rows that are equally near share the credit, so a table of repeated rows does not depend on rounding.
    Chance: 2 / rows.

    >>> order_accuracy(np.outer([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]))
    1.0
    """
    distance = _squared_distances(gram)
    rounding = 1e-12 * np.diag(gram).max()
    nearest = distance <= distance.min(axis=1, keepdims=True) + rounding
    neighbours = np.zeros(len(gram))
    neighbours[1:] += np.diagonal(nearest, -1)
    neighbours[:-1] += np.diagonal(nearest, 1)
    return float(np.mean(neighbours / nearest.sum(axis=1)))


def nearest_rows(gram: Gram) -> Int[np.ndarray, " rows"]:
    """For each row the index of the row nearest to it; the first of several that are equally near.

    >>> nearest_rows(np.outer([0.0, 1.0, 3.0], [0.0, 1.0, 3.0])).tolist()
    [1, 0, 1]
    """
    return _squared_distances(gram).argmin(axis=1)


def _squared_distances(gram: Gram) -> Gram:
    """Squared Euclidean distances, infinite from a row to itself."""
    squares = np.diag(gram)
    distance = squares[:, None] + squares - 2 * gram
    np.fill_diagonal(distance, np.inf)
    return distance


def monotonicity(gram: Gram) -> float:
    """Mean over rows of Spearman's correlation between nearness ``-|i - j|`` and the cosine of rows ``i`` and ``j``.

    1: the further, the less alike, everywhere; 0: no relation (chance).

    Source: Wang et al. 2021, "On Position Embeddings in BERT" (ICLR), property 1. Differs: their property is a yes or no on an
    inner product; this is its rank correlation on cosines, so that a nearly monotone table scores nearly 1. Rows at one distance
    that are equally alike are ranked by index, so an exactly symmetric table stays a little below 1.

    >>> steps = np.arange(64) * 0.01
    >>> monotonicity(np.cos(steps[:, None] - steps)) > 0.99
    True
    """
    n = len(gram)
    off = ~np.eye(n, dtype=bool)
    similar = cosines(gram)[off].reshape(n, n - 1)
    order = np.argsort(similar, axis=1)
    ranks = np.empty(similar.shape)
    np.put_along_axis(ranks, order, np.arange(n - 1.0)[None], axis=1)
    i, j = np.indices((n, n))
    left, right, distance = i, n - 1 - i, np.abs(i - j)
    # Rows at one distance come in twos, so nearness has ties: each gets the mean rank, counted in closed form.
    nearer = np.minimum(distance - 1, left) + np.minimum(distance - 1, right)
    equal = (distance <= left).astype(int) + (distance <= right)
    nearness = -(nearer + (equal - 1) / 2)[off].reshape(n, n - 1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    nearness -= nearness.mean(axis=1, keepdims=True)
    product = (ranks * nearness).sum(axis=1)
    return float(np.mean(product / np.sqrt((ranks**2).sum(axis=1) * (nearness**2).sum(axis=1))))


def toeplitz_share(gram: Gram) -> float | None:
    """Share of the Gram matrix's variance off the diagonal that depends on the distance of the rows alone.

    R² = 1 - Σ (G_ij - m_|i-j|)² / Σ (G_ij - mean)² over i ≠ j, m_k the mean of diagonal k. 1: translation invariant, as a sinusoid
    is; chance is near 2 / rows. None where all the entries are equal.

    Source: Wennberg & Henter 2021 (TISA) name the property; R² is this project's measure of it, on the table itself
    and not on a head's product with it.

    >>> toeplitz_share(np.cos(np.subtract.outer(np.arange(6), np.arange(6))))
    1.0
    """
    n = len(gram)
    counts = np.arange(n - 1, 0, -1)
    sums = np.array([np.diagonal(gram, k).sum() for k in range(1, n)])
    squares = np.array([np.square(np.diagonal(gram, k)).sum() for k in range(1, n)])
    total = squares.sum() - sums.sum() ** 2 / counts.sum()
    if total <= 1e-12 * squares.sum():
        return None
    within = (squares - sums**2 / counts).sum()
    return float(1 - max(within, 0.0) / total)
