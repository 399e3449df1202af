"""Corrections for testing several things at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from milepost.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float


def apply_holm(p_values: Sequence[float] | Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Adjust p values by Holm's step-down method.

    Rejecting where the adjusted value is below 0.05 makes one false rejection or more in at most 5 % of
    families, however the tests depend on each other. An adjusted value is never below its own p, never
    above 1, and keeps the order of the p values.

    Args:
        p_values: the p values of one family of tests. NaN marks a test that could not be made: it stays
            NaN and does not count as a member. Left untouched.

    Returns:
        A new float64 array of the same length and order.

    Raises:
        DataError: MP110, when a value lies outside 0 to 1.

    Source: Holm 1979, section 3, as adjusted values (Wright 1992). Does not differ.

    >>> apply_holm([0.04, 0.01, float("nan"), 0.03]).tolist()
    [0.06, 0.03, nan, 0.06]
    """
    return _step_down(p_values, lambda left: left)


def apply_selection(
    p_values: Sequence[float] | Float[np.ndarray, " tests"],
) -> Float[np.ndarray, " tests"]:
    """Adjust the p values of one treatment against each other one, where it was picked as the best of all.

    A best that is picked after looking hides the tests of all pairs. So the smallest p is multiplied by the
    number of pairs that the treatments make, the next by the pairs without the one just rejected, down to 1
    for the last: 15, 10, 6, 3, 1 for six. Rejecting where the adjusted value is below 0.05 then calls a
    treatment worse that is not, once or more, in at most 5 % of families: exactly so where all are equal or
    the equal ones lead clearly, by simulation between.

    Args:
        p_values: two-sided p of the best against each other treatment. NaN marks a test that could not be
            made: it stays NaN and does not count as a treatment. Left untouched.

    Returns:
        A new float64 array of the same length and order.

    Raises:
        DataError: MP110, when a value lies outside 0 to 1.

    Source: Holm 1979, section 4 (stepping down with other weights), over the pairs of Tukey's problem.
    Differs: only the pairs with the best are claimed, so each rejection frees all pairs of the one rejected.

    >>> apply_selection([0.04, 0.01, float("nan"), 0.001]).tolist()
    [0.04, 0.03, nan, 0.006]
    """
    return _step_down(p_values, lambda left: left * (left + 1) // 2)


def _step_down(p_values: Sequence[float] | np.ndarray, factor: Callable[[int], int]) -> np.ndarray:
    """Multiply each p, smallest first, by ``factor`` of how many are left, never below one before it."""
    p = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    if not ((p[known] >= 0) & (p[known] <= 1)).all():
        raise DataError("p values lie between 0 and 1", got=str(p.tolist()), fix="pass p values")
    ascending = known[np.argsort(p[known], kind="stable")]
    factors = [factor(left) for left in range(len(ascending), 0, -1)]
    p[ascending] = np.minimum(np.maximum.accumulate(factors * p[ascending]), 1.0)
    return p
