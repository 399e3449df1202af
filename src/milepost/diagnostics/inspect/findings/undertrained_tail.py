"""MP202: a tail that saw little training."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, median_of
from milepost.diagnostics.inspect.findings.tail import read_tail
from milepost.finding import Verdict

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_LEAST_ROWS = 64
_RARE = 0.1
_PARTS = 8
_LEAST_SHARED = 5.0  # standard errors of what random rows share
_FALLEN, _LEVEL, _BELOW = 0.65, 0.75, 0.8
_LEAST_IN_NORM = 1 / 3
_LESS_ALIKE = 0.9  # of the best cosine of neighbours
_SMOOTH = 9


@CHECKS.enter("MP202", "an undertrained tail", most="tip")
def check(facts: Facts) -> Verdict:
    """From counts: the rows that got less than a tenth of the gradients of the best row. Else from what neighbours share.

    The random start of a row adds to its norm, but not to its product with the next row: that product is what training gave them.
    The median product over the last eighth of the trained rows is compared with the best eighth, the first one left out. It is a tip
    below 65 % of that and 80 % of the second quarter, if the squared norm falls too, by a third of that fall or more, and if the
    cosine of neighbours falls to 90 % or less: where training stopped early the start still shows. Rows that are smaller and
    as alike as before only have another norm.
    """
    if facts.kind != "learned":
        return Verdict("not_applicable", "only learned rows of a sequence thin out towards the end")
    if facts.counts is not None:
        return _by_counts(facts, facts.counts)
    if len(facts.positions) < _LEAST_ROWS:
        return Verdict("cannot_tell", f"needs {_LEAST_ROWS} positions, there are {len(facts.positions)}")
    tail = read_tail(facts)
    # a tiled table is judged by its tile
    end = tail.start if tail.state == "untrained" else facts.period or len(facts.positions)
    if end < _LEAST_ROWS:
        return Verdict("cannot_tell", f"needs {_LEAST_ROWS} trained rows, there are {end}")
    return _by_products(facts, end)


def _by_products(facts: Facts, end: int) -> Verdict:
    """From what neighbours share, over the rows before ``end``."""
    rows = facts.positions[:end].astype(np.float64)
    products = np.einsum("rd,rd->r", rows[1:], rows[:-1])
    shared = _by_part(products)
    norms = _by_part(np.square(facts.norms[:end]))
    best = int(shared[1:-1].argmax()) + 1  # the first rows are often larger
    # the median of n products of random rows varies by 1.25 / sqrt(n)
    error = 1.25 * norms[best] / np.sqrt(facts.dim * (len(products) // _PARTS))
    if shared[best] <= _LEAST_SHARED * error:
        return Verdict("cannot_tell", "neighbours share no more than random rows do (MP201, MP211)")
    share, fall = shared[-1] / shared[best], shared[best] - shared[-1]
    got = (
        f"neighbours at the end share {share:.2g} of what they share at best; norm {norms[-1] ** 0.5:.4g}, "
        f"{norms[best] ** 0.5:.4g} at best"
    )
    if share >= _LEVEL:
        return Verdict("passed", got)
    if norms[best] - norms[-1] < _LEAST_IN_NORM * fall:
        return Verdict("passed", f"{got}: rows that differ more, but are no smaller")
    cosines = _by_part(products / (facts.norms[: end - 1] * facts.norms[1:end]))
    middle = slice(_PARTS // 4, _PARTS // 2)
    usual = min(cosines[best], cosines[middle].min())
    # the variance of a cosine of rows that share c is (1 - c²)² / dim
    unsure = _LEAST_SHARED * (1 - cosines[-1] ** 2) * error / norms[best]
    if cosines[-1] > _LESS_ALIKE * usual or usual - cosines[-1] <= unsure:
        return Verdict(
            "cannot_tell",
            f"{got}; cosine of neighbours {cosines[-1]:.2g}, {usual:.2g} before: rows that are smaller and as alike as "
            "before may have been trained as much",
            fix="compare with the table before training: milepost inspect MODEL --compare INITIAL; or count with milepost's layers",
        )
    apart = shared[-1] < _BELOW * shared[middle].min()
    if share >= _FALLEN or fall <= _LEAST_SHARED * error or not apart:
        return Verdict("cannot_tell", f"{got}: tables vary by as much along their course")
    start = _last_above(products, _FALLEN * shared[best]) + 1
    return Verdict("tip", got, facts.where(range(start, end)), "as much as before", _fix(facts, start))


def _by_part(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " parts"]:
    """The median of each eighth."""
    edges = np.arange(_PARTS + 1) * len(values) // _PARTS
    return np.array([median_of(values[i:j]) for i, j in pairwise(edges)])


def _last_above(values: Float[np.ndarray, " rows"], level: float) -> int:
    """The last index whose running median reaches a level."""
    padded = np.pad(values, _SMOOTH // 2, mode="edge")
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTH), axis=1)
    return int(np.flatnonzero(windows[:, _SMOOTH // 2] >= level)[-1])


def _by_counts(facts: Facts, counts: Int[np.ndarray, " positions"]) -> Verdict:
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
