"""What a number of seeds can show, and how many seeds it takes."""

from __future__ import annotations

import math

from milepost.errors import OptionError
from milepost.statistics.intervals import LEVEL

POWER = 0.8


def measure_detectable(sd: float, n: int) -> float:
    """Measure the smallest true difference that ``n`` paired seeds find with 80 % power.

    If the true mean difference is this and ``sd`` the true spread, the two-sided paired t test at 5 %
    rejects in 80 % of repetitions. ``sd`` is usually the observed one, so the result is as uncertain as
    that is; the test is a single one, and Holm's correction asks for somewhat more.

    Args:
        sd: standard deviation of the paired differences, in their unit.
        n: paired seeds.

    Returns:
        A float in the unit of ``sd``; NaN below two seeds and where ``sd`` is 0 or NaN.

    Raises:
        OptionError: MP105, when ``sd`` is negative or infinite.

    Source: the power of the t test under the noncentral t distribution (Cohen 1988, section 2.3), solved
    to eight digits instead of read from a table.

    >>> f"{measure_detectable(0.012, 3):.4f} {measure_detectable(0.012, 10):.4f}"
    '0.0392 0.0120'
    """
    if sd < 0 or math.isinf(sd):
        raise OptionError("a standard deviation is at least 0", got=str(sd), fix="pass 0 or more")
    if n < 2 or sd == 0 or math.isnan(sd):
        return math.nan
    return _noncentrality(n - 1) * sd / math.sqrt(n)


def measure_seeds(sd: float, difference: float, *, at_most: int = 1000) -> int | None:
    """Measure how many paired seeds find ``difference`` with 80 % power.

    Args:
        sd: standard deviation of the paired differences.
        difference: the true difference to be found, in the same unit; its sign does not matter.
        at_most: where the search ends.

    Returns:
        The smallest such number from 2 up, or None where ``at_most`` seeds are too few or ``sd`` says
        nothing (0 or NaN).

    Source: the inverse of ``measure_detectable``.

    >>> measure_seeds(0.012, 0.012), measure_seeds(0.012, 0.0)
    (10, None)
    """
    # more seeds find smaller differences, so the answer can be bisected
    if not measure_detectable(sd, at_most) <= abs(difference):
        return None
    few, enough = 1, at_most
    while enough - few > 1:
        middle = (few + enough) // 2
        if measure_detectable(sd, middle) <= abs(difference):
            enough = middle
        else:
            few = middle
    return enough


def _noncentrality(df: int) -> float:
    """Solve for the noncentrality at which the two-sided t test has the wanted power."""
    from scipy.special import nctdtrinc, stdtrit

    critical = stdtrit(df, 1 - LEVEL / 2)
    # rejections on the wrong side are left out: they are below 1e-6 here
    return float(nctdtrinc(df, 1 - POWER, critical))
