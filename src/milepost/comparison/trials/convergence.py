"""Whether training had arrived somewhere when it ended, told from the loss of each step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_FALL = 0.05  # of the loss: what still falls by more over the last tenth of the steps had not settled
_LITTLE = 0.01  # of the floor: a task that is nearly solved may go on towards zero
_LEARNT = 0.05  # of the floor: what is less below it may be a plateau, where words are counted and their order ignored
_ERRORS = 3.0  # standard errors that the noise of the steps explains


def has_converged(losses: Sequence[float], floor: float) -> bool:
    """Whether a loss had settled, below what a model reaches that ignores its input.

    It had not settled where the mean of the last tenth of the steps is lower than that of the tenth before by more than
    5 %, by more than a hundredth of the floor, and by more than three standard errors of that difference. It is below
    the floor where the mean of the last tenth is, by more than 5 % of the floor and by more than three standard errors.
    Batches are drawn independently, so the noise of a step is that of its batch: it is read from second differences,
    which a steady fall does not enter.

    Args:
        losses: training loss of each step, finite. Of fewer than four steps no noise is known, and none is assumed.
        floor: in the unit of the losses.

    Source: von Neumann 1941 reads the noise of a series from first differences; Gasser, Sroka & Jennen-Steinmetz 1986
    from second ones.

    >>> falling = [4.0 - 0.02 * step for step in range(100)]
    >>> has_converged(falling, floor=5.0), has_converged([2.0] * 100, floor=5.0), has_converged([2.0] * 100, floor=2.0)
    (False, True, False)
    """
    values = np.asarray(losses, float)
    tenth = max(1, len(values) // 10)
    last = values[-tenth:].mean()
    before = values[-2 * tenth : -tenth].mean() if len(values) > tenth else last
    error = _noise(values[-max(2 * tenth, 10) :]) / math.sqrt(tenth)
    steep = max(_FALL * before, _LITTLE * floor, _ERRORS * math.sqrt(2) * error)
    return bool(before - last <= steep and floor - last > max(_LEARNT * floor, _ERRORS * error))


def _noise(values: np.ndarray) -> float:
    """Standard deviation of a series around its own course."""
    second = np.diff(values, 2)
    return math.sqrt(float(np.square(second).mean()) / 6) if len(second) > 1 else 0.0
