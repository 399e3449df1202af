"""MP212: a step in the norms, as fine-tuning on shorter inputs leaves it."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, median_of
from milepost.diagnostics.inspect.findings.noise import neighbour_scores
from milepost.diagnostics.inspect.findings.tail import rank, rank_difference, read_tail
from milepost.finding import Verdict

_SIDE = 16  # rows on each side of the step
_GAP = 1  # rows next to it that may be neither: the last tuned row often stands apart
_LEAST_ROWS = 4 * _SIDE
_SEPARATE = 4.5  # standard errors; 16 norms that all lie above 16 others reach 4.8
_LEAST_CHANGE = 0.05
_LESS_ALIKE, _SPREADS = 0.8, 5.0
_ALIKE = 0.7  # cosine of neighbours below which a step cannot be seen
_BESIDE = 2


@CHECKS.enter("MP212", "a step in the norms", most="tip")
def check(facts: Facts) -> Verdict:
    """A tip where 16 norms before a row and 16 after it do not overlap, and neighbours across that row are far less alike.

    The medians differ by 5 % or more. The cosine across the step is below 80 % of the usual one near it, and 5 robust standard
    deviations below it, and no other row within 16 of it breaks off so. Norms that change gradually leave neighbours alike. Cannot
    be told where neighbours have a cosine below 0.7.
    """
    if facts.kind != "learned":
        return Verdict("not_applicable", "only learned rows of a sequence are tuned up to a length")
    if facts.period is not None:
        return Verdict("not_applicable", "the table is tiled (MP208)")
    if len(facts.positions) < _LEAST_ROWS:
        return Verdict("cannot_tell", f"needs {_LEAST_ROWS} positions, there are {len(facts.positions)}")
    tail = read_tail(facts)
    end = tail.start if tail.state == "untrained" else len(facts.positions)
    steps = [(size, row) for row in _breaks(facts.positions[:end]) if (size := _step(facts.norms[:end], row))]
    if not steps and _usual_cosine(facts.positions[:end]) < _ALIKE:
        return Verdict(
            "cannot_tell", f"neighbours are less alike than {_ALIKE:g} (cosine), so a step does not stand out"
        )
    if not steps:
        return Verdict("passed", "no row at which the norms change at once")
    size, row = max(steps, key=lambda step: abs(step[0]))
    before, after = (median_of(side) for side in _sides(facts.norms[:end], row))
    at = facts.start + row
    return Verdict(
        "tip",
        f"norms change by {100 * np.expm1(size):+.0f} % at row {at}: {before:.4g} before it, {after:.4g} after it (medians of "
        f"{_SIDE} rows), and neighbours there are unlike each other",
        facts.where([row]),
        "norms that change gradually",
        f"usual where fine-tuning ended: inputs of about {row} tokens leave later rows as they were before it. For longer inputs, measure "
        "how the model does there, or train those rows: milepost tune MODEL DATA --rows all",
    )


def _breaks(rows: np.ndarray) -> list[int]:
    """Rows that are far less like the row before them than is usual around them, and far enough from both ends."""
    margin = _SIDE + _GAP
    if len(rows) < 2 * margin:
        return []
    scores = neighbour_scores(rows, clip=np.inf)
    around = np.lib.stride_tricks.sliding_window_view(scores, 2 * _SIDE)[
        _GAP : len(rows) - 2 * _SIDE - _GAP + 1
    ]
    usual = _medians(around)
    spread = 1.4826 * _medians(np.abs(around - usual[:, None]))
    limit = np.minimum(_LESS_ALIKE * usual, usual - _SPREADS * spread)
    breaks = scores[margin : margin + len(usual)] < limit
    found = np.flatnonzero(breaks & (usual >= _ALIKE * np.sqrt(rows.shape[1])))
    # where neighbours are unlike time and again, one more break says nothing
    alone = [row for row in found if not breaks[max(0, row - _SIDE) : max(0, row - _BESIDE)].any()
             and not breaks[row + _BESIDE + 1 : row + _SIDE + 1].any()]  # fmt: skip
    return [margin + int(row) for row in alone]


def _usual_cosine(rows: np.ndarray) -> float:
    return median_of(neighbour_scores(rows, clip=np.inf)[1:]) / float(np.sqrt(rows.shape[1]))


def _medians(values: np.ndarray) -> np.ndarray:
    """The median of each row of an even number of values."""
    middle = values.shape[1] // 2
    return np.sort(values, axis=1)[:, middle - 1 : middle + 1].mean(axis=1)


def _step(norms: np.ndarray, row: int) -> float:
    """Change of the log norm at a row, or 0 where the norms before and after it overlap."""
    before, after = _sides(norms, row)
    change = float(np.log(median_of(after) / median_of(before)))
    apart = abs(rank_difference(rank(np.r_[before, after]), _SIDE)) > _SEPARATE
    return change if apart and abs(change) > _LEAST_CHANGE else 0.0


def _sides(norms: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Norms of the rows before and after a row, the ones next to it left out."""
    return norms[row - _GAP - _SIDE : row - _GAP], norms[row + _GAP : row + _GAP + _SIDE]
