"""MP202: a tail that saw little training."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.findings.facts import Facts, Verdict, finding, median_of
from milepost.diagnostics.findings.never_trained import read_tail

_LEAST_ROWS = 64
_RARE = 0.1
_FALL = -0.4
_LEVEL = 0.85
_SMOOTH = 9


@finding("MP202", "an undertrained tail")
def check(facts: Facts) -> Verdict:
    """From counts: the rows that got less than a tenth of the gradients of the best row. Else norms that fall towards the
    end of the trained rows (rank correlation below -0.4 over their second half) to less than 85 % of the first half's median.
    """
    if facts.kind != "learned":
        return Verdict("not_applicable", "only learned rows of a sequence thin out towards the end")
    if facts.counts is not None:
        return _by_counts(facts, facts.counts)
    if len(facts.positions) < _LEAST_ROWS:
        return Verdict("cannot_tell", f"needs {_LEAST_ROWS} positions, there are {len(facts.positions)}")
    tail = read_tail(facts)
    norms = facts.norms[: tail.start] if tail.state == "untrained" else facts.norms
    if len(norms) < _LEAST_ROWS:
        return Verdict("cannot_tell", f"needs {_LEAST_ROWS} trained rows, there are {len(norms)}")
    half = len(norms) // 2
    level = median_of(norms[:half])
    end = median_of(norms[-max(4, len(norms) // 16) :])
    fall = _rank_correlation(norms[half:])
    got = (
        f"norm {end:.4g} at the end, {level:.4g} in the first half; rank correlation with position {fall:.2f}"
    )
    if not (fall < _FALL and end < _LEVEL * level):
        if tail.state in ("all_noise", "unclear"):
            return Verdict("cannot_tell", f"{got}; the last rows look random (MP201)")
        return Verdict("passed", got)
    padded = np.pad(norms, _SMOOTH // 2, mode="edge")
    smooth = np.sort(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTH), axis=1)[:, _SMOOTH // 2]
    start = int(np.flatnonzero(smooth >= 0.9 * level)[-1]) + 1
    return Verdict(
        "tip", got, facts.where(range(start, len(norms))), "norms that stay level", _fix(facts, start)
    )


def _by_counts(facts: Facts, counts: np.ndarray) -> Verdict:
    rare = np.flatnonzero((counts > 0) & (counts < _RARE * counts.max()))
    if not len(rare):
        return Verdict(
            "passed", "no row got less than a tenth of the gradients of the best, by the stored counts"
        )
    got = f"{len(rare)} rows got less than a tenth of the gradients of the best row, by the stored counts"
    return Verdict(
        "tip",
        got,
        facts.where(rare),
        f"at least {int(np.ceil(_RARE * counts.max()))} gradients",
        _fix(facts, rare[0]),
    )


def _fix(facts: Facts, start: int) -> str:
    return f"train more inputs longer than {start} tokens, or shift short ones to random positions"


def _rank_correlation(values: np.ndarray) -> float:
    """Spearman's correlation of values with their index."""
    return float(np.corrcoef(np.argsort(np.argsort(values)), np.arange(len(values)))[0, 1])
