"""MP209: a table stretched from a shorter one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, median_of
from milepost.finding import Verdict

if TYPE_CHECKING:
    from jaxtyping import Float

_LEAST = 16  # rows and dimensions
_WINDOW, _LONGEST = 96, 256
_GAP = 10.0
_LINEAR_SHARE = 0.05
_LEAST_RATIO = 1.05


@dataclass(frozen=True)
class Stretch:
    """How a table was stretched: by ``ratio``; ``kind`` is ``nearest``, ``linear``, ``smooth``, or ``linear or smooth``."""

    ratio: float
    kind: str


@CHECKS.enter("MP209", "an interpolated table")
def check(facts: Facts) -> Verdict:
    """Fires when rows are exact blends of fewer rows, to the rounding of the stored dtype."""
    rows = facts.positions
    if facts.kind == "fixed_sinusoid":
        return Verdict("not_applicable", "a fixed sinusoid is smooth by construction")
    if facts.kind == "patches":
        return Verdict("not_applicable", "rows lie on a grid, and this looks along one axis")
    if len(rows) < _LEAST or facts.dim < _LEAST or facts.rounding is None:
        return Verdict(
            "cannot_tell",
            f"{len(rows)} positions of width {facts.dim} in {facts.dtype} are too few or too coarse",
        )
    if facts.period is not None:
        return Verdict("not_applicable", "the table is tiled (MP208)")
    stretch = find_stretch(rows, facts.rounding)
    if stretch is None:
        return Verdict("passed", "rows are not blends of their neighbours")
    return Verdict(
        "issue",
        f"{stretch.kind} stretch by about {stretch.ratio:.3g}: some {len(rows) / stretch.ratio:.0f} rows were trained",
        facts.where(range(len(rows))),
        "rows that no blend of others gives",
        "position ids of short inputs must be multiplied by the ratio to read the old rows; train the new ones (milepost tune)",
    )


def find_stretch(rows: Float[np.ndarray, "rows dim"], rounding: float) -> Stretch | None:
    """The stretch that explains the table, or None.

    A window of rows that were interpolated from fewer spans fewer directions than it has rows, about one less for each row that was
    put in, whatever the interpolation; and the singular values then fall to the rounding error at once. A table that is smooth for
    another reason falls gradually, and a table of low rank spans as much in a short window as in a long one.

    Args:
        rows: at least 16 rows of width 16.
        rounding: relative rounding error of the stored values.
    """
    repeats = np.all(rows[1:] == rows[:-1], axis=1)
    same = float(np.mean(repeats))
    longest_run = int(np.diff(np.flatnonzero(np.r_[True, ~repeats, True])).max())
    # nearest neighbours repeat each row about as often; one block of equal rows (zeros) is no stretch
    if same > 0.15 and longest_run <= np.ceil(1 / max(1 - same, 1 / len(rows))) + 1 < len(rows):
        return Stretch(1 / (1 - same), "nearest")
    long = min(_WINDOW, *rows.shape)
    short = long // 2
    of_long, of_short = _rank(rows, long, rounding), _rank(rows, short, rounding)
    if of_long is None or of_short is None or of_long > long - 3 or of_long <= of_short:
        return None
    linear = _linear_share(rows, rounding) > _LINEAR_SHARE
    # rows of the short table that a window reads: those within it and its two ends, and one more or two for a smooth kernel
    ends = 2 if linear else 3
    if of_long <= ends:
        return None  # a few directions in all: constant in stretches
    ratio = (long - 1) / (of_long - ends)
    growth = (long - short) / (of_long - of_short)
    if ratio < _LEAST_RATIO or not 0.75 < ratio / growth < 1.33:
        return None
    longest = min(_LONGEST, len(rows), int(0.6 * rows.shape[1] * ratio))
    if longest > long and (of_longest := _rank(rows, longest, rounding) or 0) > ends:
        ratio = (longest - 1) / (of_longest - ends)  # a longer window counts more finely
    # below 2 every row is near a knot, and a line cannot be told from a curve
    return Stretch(ratio, "linear" if linear else "smooth" if ratio > 1.9 else "linear or smooth")


def _rank(rows: np.ndarray, window: int, rounding: float) -> float | None:
    """Median rank of windows of this many rows; None where no sharp edge of the spectrum shows one."""
    ranks = []
    for start in np.linspace(0, len(rows) - window, 4).astype(int):
        block = rows[start : start + window].astype(np.float64)
        singular = np.linalg.svd(block, compute_uv=False)
        rms = np.sqrt(np.mean(np.square(block)))
        floor = 2 * rounding * rms * (np.sqrt(window) + np.sqrt(rows.shape[1]))
        rank = int(np.count_nonzero(singular > floor))
        if rank == window:
            ranks.append(window)
        elif 0 < rank < len(singular) and singular[rank - 1] > _GAP * singular[rank]:
            ranks.append(rank)
    return median_of(ranks) if len(ranks) >= 3 else None


def _linear_share(rows: np.ndarray, rounding: float) -> float:
    """Share of rows on the line between their neighbours, or that bend as the row after them does: about the same knot."""
    bend = np.diff(rows.astype(np.float64), 2, axis=0)
    error = 8 * rounding * np.linalg.norm(rows[1:-2], axis=1)
    length = np.linalg.norm(bend, axis=1)
    along = np.einsum("rd,rd->r", bend[:-1], bend[1:]) / np.maximum(length[:-1], error)
    apart = np.sqrt(np.maximum(length[1:] ** 2 - along**2, 0.0))
    return float(np.mean((length[:-1] <= error) | (apart <= error)))
