"""MP203: the last row alone was never trained."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, median_of
from milepost.diagnostics.inspect.findings.noise import noise_band
from milepost.diagnostics.inspect.findings.tail import LEAST_TAIL, read_tail
from milepost.finding import Verdict

_BEFORE = 32
_RATIO = 0.7
_SMALLER = 0.85
_SPREADS = 6.0
_FIX = "train on inputs that fill the table, or use one position less"


@CHECKS.enter("MP203", "the last row was never trained")
def check(facts: Facts) -> Verdict:
    """Exact from counts; else the last row is unlike the 32 rows before it in direction and in norm.

    The norm is 30 % off theirs (their median), and 6 of their robust standard deviations off or 15 % below the least of them.
    Training on ``length - 1`` inputs leaves such a row.
    """
    if facts.kind != "learned":
        return Verdict("not_applicable", "only learned rows of a sequence can be left out so")
    if facts.counts is not None:
        missed = len(facts.counts) > 1 and facts.counts[-1] == 0 and facts.counts[-2] > 0
        got = f"{facts.counts[-1]} gradients, by the counts stored with the table"
        return _fired(facts, got) if missed else Verdict("passed", got)
    n = len(facts.positions)
    if n < 2 * LEAST_TAIL:
        return Verdict("cannot_tell", f"needs {2 * LEAST_TAIL} positions, there are {n}")
    tail = read_tail(facts)
    if tail.state == "untrained":
        return Verdict("not_applicable", "more than the last row was never trained (MP201)")
    before = facts.norms[max(0, n - 1 - _BEFORE) : n - 1]
    last, median = facts.norms[-1], median_of(before)
    spread = max(1.4826 * median_of(np.abs(before - median)), median * noise_band(facts.dim) / 4)
    off = abs(last - median) > _SPREADS * spread and not _RATIO < last / median < 1 / _RATIO
    least = last < _RATIO * median and last < _SMALLER * before.min()
    got = f"norm {last:.4g}, median of the rows before {median:.4g}"
    if last > 0 and (off or least) and not _alike(facts.positions):
        return _fired(facts, got)
    if tail.state != "trained":
        return Verdict("cannot_tell", f"{got}; the rows before it look random too (MP201)")
    return Verdict("passed", got)


def _alike(rows: np.ndarray) -> bool:
    """Whether the last row points where the row before it or the mean row does."""
    limit = 4 / np.sqrt(rows.shape[1])
    return any(abs(_cosine(other, rows[-1])) > limit for other in (rows[-2], rows[:-1].mean(axis=0)))


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    scale = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / scale) if scale else 0.0


def _fired(facts: Facts, got: str) -> Verdict:
    return Verdict("issue", got, facts.where([len(facts.positions) - 1]), "a norm like those before it", _FIX)
