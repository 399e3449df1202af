"""Corrections for testing several things at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from milepost.errors import DataError
from milepost.statistics.intervals import LEVEL

if TYPE_CHECKING:
    from jaxtyping import Float


def apply_holm(p_values: Sequence[float] | Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Adjust p values by Holm's step-down method.

    If you reject where the adjusted value is below 0.05, at most 5 % of families contain a false rejection,
    however the tests depend on each other. An adjusted value is never below its own p, never above 1, and
    keeps the order of the p values.

    Args:
        p_values: the p values of one family of tests. NaN marks a test that could not be made: it stays
            NaN and does not count as a member. Not modified.

    Returns:
        A new float64 array of the same length and order.

    Raises:
        DataError: MP110, when a value lies outside 0 to 1.

    Source: Holm 1979, section 3, as adjusted values (Wright 1992). Does not differ.

    >>> apply_holm([0.04, 0.01, float("nan"), 0.03]).tolist()
    [0.06, 0.03, nan, 0.06]
    """
    p, ascending = _sort(p_values)
    factors = np.arange(len(ascending), 0, -1)
    p[ascending] = np.minimum(np.maximum.accumulate(factors * p[ascending]), 1.0)
    return p


def find_holm_levels(
    p_values: Sequence[float] | Float[np.ndarray, " tests"], level: float = LEVEL
) -> Float[np.ndarray, " tests"]:
    """Find the level at which Holm's method tests each member of a family.

    The k-th smallest of m p values is tested at ``level / (m - k + 1)``, until one is not rejected; from there
    on all members have the level of that one. An interval at this level excludes zero exactly where
    ``apply_holm`` gives a value below ``level``. These intervals belong to single pairs: they are not a
    simultaneous confidence set.

    Args:
        p_values: the p values of one family of tests. NaN marks a test that could not be made: it stays
            NaN and does not count as a member. Not modified.
        level: error rate of the whole family.

    Returns:
        A new float64 array of the same length and order.

    Raises:
        DataError: MP110, when a value lies outside 0 to 1.

    Source: Holm 1979, section 3. Does not differ.

    >>> find_holm_levels([0.04, 0.01, float("nan"), 0.03], level=0.06).tolist()
    [0.03, 0.02, nan, 0.03]
    """
    p, ascending = _sort(p_values)
    levels = level / np.arange(len(ascending), 0, -1)
    kept = np.flatnonzero(p[ascending] >= levels)
    if len(kept):
        levels[kept[0] :] = levels[kept[0]]
    p[ascending] = levels
    return p


def _sort(p_values: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the p values, and where the known ones are, smallest first."""
    p = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    if not ((p[known] >= 0) & (p[known] <= 1)).all():
        raise DataError("p values must be between 0 and 1", got=str(p.tolist()), fix="pass p values")
    return p, known[np.argsort(p[known], kind="stable")]
