"""The paired t interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from milepost.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float

LEVEL = 0.05  # two-sided error rate of every test and one minus the coverage of every interval

# rounding alone leaves a spread of about 1e-16 in differences that are the same; no seeds do so little
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """A mean of paired differences and what the seeds say about it; NaN where they say nothing."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float

    @property
    def constant(self) -> bool:
        """Whether the difference is the same at every one of two or more seeds, and not 0."""
        return self.n > 1 and self.sd == 0 and self.mean != 0


def measure_difference(differences: Sequence[float] | Float[np.ndarray, " seeds"]) -> PairedDifference:
    """Measure a mean paired difference with its 95 % t interval and two-sided p value.

    The interval covers the true mean in 95 % of repetitions when differences are normal, at any number
    of seeds from two up. What cannot be known is NaN, never 0:

    - no difference: all NaN; one difference: the mean alone;
    - all differences 0 (two encodings that compute the same): the interval is [0, 0] and p is 1;
    - all differences equal but not 0 (spread below 1e-12 of the mean): the mean and an sd of 0, no
      interval and no p, for a t test would call any such difference certain.

    Args:
        differences: one finite number a seed, treatment minus baseline. Left untouched.

    Returns:
        A ``PairedDifference`` of floats; arithmetic is float64.

    Raises:
        DataError: MP110, when a value is NaN or infinite. Failed seeds are left out by the caller, who
            can say so; here they would vanish.

    Source: Student 1908; one-sample t on the differences. Does not differ.

    >>> d = measure_difference([-0.11, -0.10, -0.13])
    >>> f"{d.mean:.4f} [{d.low:.4f}, {d.high:.4f}] p = {d.p:.4f}, n = {d.n}"
    '-0.1133 [-0.1513, -0.0754] p = 0.0060, n = 3'
    """
    from scipy.special import stdtr  # late: scipy takes longer to import than --help may

    values = _finite(differences)
    n = len(values)
    if n < 2:
        mean = values[0] if n else math.nan
        return PairedDifference(n, mean, math.nan, math.nan, math.nan, math.nan)
    # exact sums: the order of the seeds changes no bit
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    if sd <= _NO_SPREAD * abs(mean):
        if mean == 0:
            return PairedDifference(n, 0.0, 0.0, 0.0, 0.0, 1.0)
        return PairedDifference(n, mean, 0.0, math.nan, math.nan, math.nan)
    p = 2 * float(stdtr(n - 1, -abs(mean) / (sd / math.sqrt(n))))
    found = PairedDifference(n, mean, sd, math.nan, math.nan, p)
    low, high = measure_interval(found, LEVEL)
    return replace(found, low=low, high=high)


def measure_interval(difference: PairedDifference, level: float) -> tuple[float, float]:
    """Measure the t interval of a paired difference at another level than 5 %.

    Args:
        difference: from ``measure_difference``.
        level: error rate of the interval, between 0 and 1; 0.05 gives the 95 % interval. NaN gives NaN.

    Returns:
        Both ends, in float64. NaN where there is no interval, [0, 0] where all differences are 0.

    Source: Student 1908. Does not differ.

    >>> low, high = measure_interval(measure_difference([-0.11, -0.10, -0.13]), level=0.01)
    >>> f"[{low:.3f}, {high:.3f}]"
    '[-0.201, -0.026]'
    """
    from scipy.special import stdtrit

    if difference.n < 2 or difference.constant:
        return math.nan, math.nan
    half = -float(stdtrit(difference.n - 1, level / 2)) * difference.sd / math.sqrt(difference.n)
    return difference.mean - half, difference.mean + half


def _finite(values: Sequence[float] | np.ndarray) -> list[float]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise DataError(
            "differences must be finite numbers, one a seed",
            got=str(array.tolist()),
            fix="leave out the seeds that failed, and report them",
        )
    finite: list[float] = array.tolist()
    return finite
