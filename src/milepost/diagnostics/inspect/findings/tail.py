"""Where the trained rows of a table end: what MP201, MP202, MP203 and MP210 have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from milepost.diagnostics.inspect.findings.facts import Facts, median_of
from milepost.diagnostics.inspect.findings.noise import (
    is_ordered,
    measure_kurtosis,
    neighbour_scores,
    noise_band,
    noise_tail,
)
from milepost.diagnostics.inspect.measures import row_norms

LEAST_TAIL: Final = 8
_APART = 1.5  # bands between the untrained level and the trained rows
_EDGE = 16  # rows before the edge that must lie apart too
_ERRORS = 6.0  # standard errors: 1 in 500 million at one edge, a millionth over all edges of 512 rows
_FEW_ERRORS = 2.5
_TINY = 1e-30
_NEAR, _NEAR_ERRORS = 64, 3.0

Evidence: TypeAlias = Literal["order", "size", "rank", "none"]
EVIDENCE: Final[Mapping[Evidence, str]] = {
    "order": "are alike as neighbours",
    "size": "lie apart in norm",
    "rank": "rank apart in norm, further than 6 standard errors",
    "none": "",
}


@dataclass(frozen=True)
class Tail:
    """What the end of a table shows: noise from ``start`` on, all of it noise, or trained rows.

    ``unclear``: the end looks like noise, but the rows before it are not clearly different. ``evidence`` names what separates
    untrained rows from those before them.
    """

    state: Literal["untrained", "trained", "all_noise", "unclear"]
    start: int
    level: float = 0.0
    before: float = 0.0
    evidence: Evidence = "none"


def read_tail(facts: Facts) -> Tail:
    """Split a table of at least 16 positions into trained rows and a tail of noise."""
    rows, norms = facts.positions, facts.norms
    if is_ordered(rows[-LEAST_TAIL:]):
        return Tail("trained", len(rows))
    start = noise_tail(rows, LEAST_TAIL)
    if start is None:  # neither noise of one size nor alike: no evidence for either
        return Tail("unclear", len(rows) - LEAST_TAIL, median_of(norms[-LEAST_TAIL:]))
    level = float(np.sqrt(np.mean(np.square(norms[start:]))))
    if start < LEAST_TAIL // 2 or start < 0.02 * len(rows):
        return Tail("all_noise", start, level)
    evidence = _separate(facts, start, level)
    return Tail(
        "unclear" if evidence == "none" else "untrained", start, level, median_of(norms[:start]), evidence
    )


def _separate(facts: Facts, start: int, level: float) -> Evidence:
    """What separates the rows before ``start`` from noise after it."""
    rows, norms = facts.positions, facts.norms
    if _continues(rows, start):
        return "none"
    if _is_ordered_before(rows, start):
        return "order"
    band = noise_band(facts.dim, measure_kurtosis(rows[start:]))
    if _is_apart((norms[:start] / level - 1) / band):
        return "size"
    return "rank" if _is_step(norms, start) else "none"


def _continues(rows: np.ndarray, start: int) -> bool:
    """Whether the 16 rows from ``start`` on point where the 16 before it do: then a few gradients reached them.

    At 2.5 standard errors, which 6 in 1,000 untrained tails reach.
    """
    before, after = rows[max(0, start - _EDGE) : start], rows[start : start + _EDGE]
    common = np.sum(before / np.maximum(row_norms(before), _TINY)[:, None], axis=0)
    along = after @ common / (np.maximum(row_norms(after), _TINY) * max(float(np.linalg.norm(common)), _TINY))
    return bool(along.sum() * np.sqrt(rows.shape[1] / len(after)) > _FEW_ERRORS)


def _is_ordered_before(rows: np.ndarray, start: int) -> bool:
    """Whether neighbours before ``start`` are more alike than those after it, by 6 standard errors, right up to the edge.

    Rows that were trained ever more rarely are ever less alike: the last 16 before the edge must be half as alike as all of them.
    """
    scores = neighbour_scores(rows)
    before, after = scores[1:start], scores[start + 1 :]
    error = np.sqrt(before.var() / len(before) + 1 / len(after))
    more, at_edge = before.mean() - after.mean(), before[-_EDGE:].mean() - after.mean()
    return bool(more > _ERRORS * error and at_edge > more / 2)


def _is_apart(distance: np.ndarray) -> bool:
    """Whether 9 in 10 norms lie 1.5 bands from those of the tail on one side, right up to the edge.

    Position 0 is often an outlier. Norms that fall slowly to the level of the tail are close to it at the edge.
    """
    parts = distance, distance[-_EDGE:]
    return any(min(np.mean(sign * part > _APART) for part in parts) >= 0.9 for sign in (1, -1))


def _is_step(norms: np.ndarray, start: int) -> bool:
    """Whether norms before ``start`` rank apart from those after it by 6 standard errors, in a step and not along a trend.

    The step must explain the ranks better than a straight line does, and show in the rows next to the edge too.

    Source: Mann & Whitney 1947, by the normal approximation.
    """
    n, near = len(norms), min(start, len(norms) - start, _NEAR)
    ranks = rank(norms)
    step = rank_difference(ranks, start)
    trend = np.corrcoef(np.arange(n), ranks)[0, 1] * np.sqrt(n - 1)
    nearby = rank_difference(rank(norms[start - near : start + near]), near)
    return bool(abs(step) > max(_ERRORS, abs(trend)) and nearby * np.sign(step) > _NEAR_ERRORS)


def rank_difference(ranks: np.ndarray, at: int) -> float:
    """Mean rank before ``at`` minus the mean rank of all, in standard errors."""
    n = len(ranks)
    return float((ranks[:at].mean() - (n - 1) / 2) / np.sqrt((n - at) * (n + 1) / (12 * at)))


def rank(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values get their mean rank.

    >>> rank(np.array([5.0, 1.0, 5.0])).tolist()
    [1.5, 0.0, 1.5]
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[which]
