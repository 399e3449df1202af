"""Equivalence: showing that a difference is too small to matter."""

from __future__ import annotations

import math

from milepost.errors import OptionError
from milepost.statistics.intervals import PairedDifference


def measure_equivalence(difference: PairedDifference, margin: float) -> float:
    """Measure the p value of "the true mean difference reaches the margin" by two one-sided t tests.

    A value below 0.05 shows equivalence; that is the same as the 90 % interval lying inside the margin.
    It may do so and exclude zero: the difference is then real and too small to matter. A true difference
    of the margin or more is called equivalent in at most 5 % of repetitions.

    Args:
        difference: from ``measure_difference``.
        margin: the difference, in the same unit, from which on it matters; 0 switches the claim off.

    Returns:
        The larger of the two one-sided p values, a float. NaN where the interval is NaN too; 0 for
        differences that are all 0 under a margin above 0.

    Raises:
        OptionError: MP105, when the margin is negative or not finite.

    Source: Schuirmann 1987, two one-sided tests, paired form. Does not differ.

    >>> from milepost.statistics import measure_difference
    >>> shown = measure_equivalence(measure_difference([0.004, 0.005, 0.006]), margin=0.02)
    >>> not_shown = measure_equivalence(measure_difference([0.004, -0.03, 0.02]), margin=0.02)
    >>> f"{shown:.4f} {not_shown:.4f}"
    '0.0007 0.1732'
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise OptionError("a margin is a number of at least 0", got=str(margin), fix="pass 0 or more")
    from scipy.special import stdtr

    if margin == 0:
        return 1.0
    if math.isnan(difference.p):
        return math.nan
    if difference.sd == 0:  # all differences are 0, or the line above had answered
        return 0.0
    error = difference.sd / math.sqrt(difference.n)
    return float(stdtr(difference.n - 1, (abs(difference.mean) - margin) / error))
