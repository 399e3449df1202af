"""The one rule that turns a measured difference into a verdict, and NaN into what JSON can hold."""

from __future__ import annotations

import math

from milepost.statistics.intervals import LEVEL, PairedDifference


def judge_difference(
    difference: PairedDifference,
    p: float,
    *,
    higher_is_better: bool,
    fewest: int = 2,
    margin: float = 0.0,
    equivalence: float = math.nan,
) -> str:
    """Turn a paired difference into a verdict.

    The first line that applies gives it:

    ==================================  ========================================================
    verdict                             when
    ==================================  ========================================================
    too_few                             fewer than ``fewest`` pairs
    same                                no difference at any pair, so no margin is too small
    equivalent                          the same difference at every pair, and inside the margin;
                                        or ``equivalence`` is below 0.05
    constant_better, constant_worse     the same difference at every pair: no spread to test with
    better, worse                       ``p`` is below 0.05
    undecided                           otherwise
    ==================================  ========================================================

    Args:
        difference: from ``measure_difference``, treatment minus baseline.
        p: of "there is no difference", adjusted where several are tested; NaN where there is no test.
        higher_is_better: direction of what was measured.
        fewest: pairs from which on there is a verdict.
        margin: difference that does not matter, in the same unit; 0 or NaN claims no equivalence.
        equivalence: from ``measure_equivalence``; NaN where it was not asked for.

    >>> from milepost.statistics import measure_difference
    >>> found = measure_difference([-0.11, -0.10, -0.13])
    >>> judge_difference(found, found.p, higher_is_better=False)
    'better'
    >>> judge_difference(found, found.p, higher_is_better=False, fewest=4)
    'too_few'
    """
    if difference.n < fewest:
        return "too_few"
    if difference.sd == 0 and difference.mean == 0:
        return "same"
    side = name_side(difference.mean, higher_is_better=higher_is_better)
    if difference.constant:
        return "equivalent" if abs(difference.mean) < margin else f"constant_{side}"
    if equivalence < LEVEL:  # false for NaN, as below
        return "equivalent"
    return side if p < LEVEL else "undecided"


def name_side(difference: float, *, higher_is_better: bool) -> str:
    """``better`` or ``worse``, for a difference that is not 0.

    >>> name_side(-0.1, higher_is_better=False)
    'better'
    """
    return "better" if (difference > 0) == higher_is_better else "worse"


def or_none(value: float) -> float | None:
    """A number as JSON can hold it: None where it is not finite.

    >>> or_none(0.5), or_none(float("nan"))
    (0.5, None)
    """
    return value if math.isfinite(value) else None
