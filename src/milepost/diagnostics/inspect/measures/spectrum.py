"""How many directions a table uses, and how slowly it changes along positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

LOW_PAIRS = 16


def participation_ratio(eigenvalues: Float[np.ndarray, " rows"]) -> float:
    """(Σλ)² / Σλ² of the centred table's variances: how many directions carry equal shares of it.

    Args:
        eigenvalues: of the centred Gram matrix (the nonzero ones are those of the covariance, but for a factor).

    >>> participation_ratio(np.array([1.0, 1.0, 0.0]))
    2.0
    """
    return float(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum())


def effective_rank(eigenvalues: Float[np.ndarray, " rows"]) -> float:
    """exp(-Σ p log p), p = λ / Σλ: the number of directions in use, by entropy; small ones count more than above.

    Source: Roy & Vetterli 2007. Differs: p are shares of variance, not of singular values.

    >>> round(effective_rank(np.array([1.0, 1.0, 0.0])), 12)
    2.0
    """
    shares = eigenvalues[eigenvalues > 0] / eigenvalues[eigenvalues > 0].sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def energy_by_frequency(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, " frequencies"]:
    """Share of the table's variance along positions at 1, 2, ... cycles over its rows; sums to 1.

    >>> turns = 2 * np.pi * np.arange(8) / 8
    >>> energy_by_frequency(np.stack([np.cos(turns), np.sin(turns)], axis=1)).round(6).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    waves = np.square(np.abs(np.fft.rfft(rows, axis=0))).sum(axis=1)[1:]
    if len(rows) % 2 == 0:
        waves[-1] /= 2  # the highest frequency of an even length has a cosine and no sine
    return waves / waves.sum()


def low_frequency_share(energy: Float[np.ndarray, " frequencies"]) -> float:
    """Share of variance that the 16 lowest frequency pairs (cosine and sine) explain.

    Near 1: a smooth table that few numbers a dimension describe. Chance: 32 / (rows - 1).

    >>> low_frequency_share(np.full(32, 1 / 32))
    0.5
    """
    return float(energy[:LOW_PAIRS].sum())
