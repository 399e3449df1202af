"""MP201: rows that were never trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from milepost.diagnostics.findings.facts import Facts, Verdict, finding, median_of
from milepost.diagnostics.findings.noise import is_ordered, noise_band, noise_tail

LEAST_TAIL = 8
_LEAST_ORDERED = 16
_APART = 1.5  # bands between the untrained level and the trained rows
_FIX = "do not feed more positions than were trained: milepost extend MODEL --to N --method crop, or train longer inputs"


@dataclass(frozen=True)
class Tail:
    """What the end of a table says: ``noise`` from ``start`` on, all of it ``noise``, or ``trained``.

    ``unclear``: the end looks like noise, but the rows before it are not clearly different.
    """

    state: Literal["untrained", "trained", "all_noise", "unclear"]
    start: int
    level: float = 0.0
    before: float = 0.0


@finding("MP201", "rows that were never trained")
def check(facts: Facts) -> Verdict:
    """Exact from counts; else a tail of noise after rows that lie apart in norm or are alike as neighbours; else it cannot tell."""
    if facts.kind == "fixed_sinusoid":
        return Verdict("not_applicable", "a fixed sinusoid is not trained")
    if facts.counts is not None:
        return _by_counts(facts, facts.counts)
    if facts.kind == "patches":
        return Verdict("not_applicable", "every patch of an image trains its row")
    if len(facts.positions) < 2 * LEAST_TAIL:
        return Verdict("cannot_tell", f"needs {2 * LEAST_TAIL} positions, there are {len(facts.positions)}")
    tail = read_tail(facts)
    if tail.state == "trained":
        return Verdict(
            "passed", f"the last {LEAST_TAIL} rows are alike as random rows are not: they were trained"
        )
    if tail.state == "untrained":
        return Verdict(
            "issue",
            f"random rows of norm {tail.level:.4g}{_origin(facts, tail.level)}; rows before them {tail.before:.4g} (median)",
            facts.where(range(tail.start, len(facts.positions))),
            "rows that training moved",
            _FIX,
        )
    whole = (
        "every row looks" if tail.state == "all_noise" else f"rows from {facts.start + tail.start} on look"
    )
    return Verdict(
        "cannot_tell",
        f"{whole} random, with norms ({tail.level:.4g}) like the others': training may have moved rows little against "
        "their start, or not at all",
        fix="compare with the table before training: milepost inspect MODEL --compare INITIAL; or count with milepost's layers",
    )


def read_tail(facts: Facts) -> Tail:
    """Split a table of at least 16 positions into trained rows and a tail of noise."""
    rows, norms = facts.positions, facts.norms
    if is_ordered(rows[-LEAST_TAIL:]):
        return Tail("trained", len(rows))
    start = noise_tail(rows, LEAST_TAIL)
    if start is None:  # neither noise of one size nor alike: no evidence for either
        return Tail("unclear", len(rows) - LEAST_TAIL, median_of(norms[-LEAST_TAIL:]))
    level = float(np.sqrt(np.mean(np.square(norms[start:]))))
    before = norms[:start]
    if start < LEAST_TAIL // 2 or start < 0.02 * len(rows):
        return Tail("all_noise", start, level)
    # Position 0 is often an outlier, and the rows next to the edge may have been reached rarely: 9 in 10 must lie apart, on one side.
    distance = (before / level - 1) / noise_band(facts.dim)
    apart = max(np.mean(distance > _APART), np.mean(distance < -_APART)) >= 0.9
    state: Literal["untrained", "unclear"] = "untrained" if apart or _ordered(rows[:start]) else "unclear"
    return Tail(state, start, level, median_of(before))


def _ordered(rows: np.ndarray) -> bool:
    """Whether 9 of 10 rows are like the row after them as no random rows are."""
    if len(rows) < _LEAST_ORDERED:
        return False
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    neighbours = np.einsum("rd,rd->r", units[1:], units[:-1])
    return bool(np.mean(neighbours > 4 / np.sqrt(rows.shape[1])) >= 0.9)


def _by_counts(facts: Facts, counts: np.ndarray) -> Verdict:
    never = np.flatnonzero(counts == 0)
    if not len(never):
        return Verdict("passed", "every row got a gradient, by the counts stored with the table")
    return Verdict(
        "issue",
        f"{len(never)} of {len(counts)} rows got no gradient, by the counts stored with the table",
        facts.where(never),
        "a gradient for every row",
        _FIX,
    )


def _origin(facts: Facts, level: float) -> str:
    """What the level is against the norm that the configuration starts rows with."""
    if not facts.initial_sd:
        return ""
    start = facts.initial_sd * np.sqrt(facts.dim)
    ratio = level / start
    if abs(ratio - 1) < noise_band(facts.dim) / 2:
        return f", as initialised ({facts.initial_sd:g} x sqrt({facts.dim}) = {start:.4g})"
    if ratio < 1:
        return f", {ratio:.3g} of the initial {start:.4g}: shrunk by weight decay"
    return f", {ratio:.3g} of the configured initial {start:.4g}"
