"""Looking after every seed: a paired t test whose error rate holds over all looks together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from milepost.errors import OptionError
from milepost.statistics.equivalence import measure_equivalence
from milepost.statistics.intervals import LEVEL, PairedDifference, measure_difference

if TYPE_CHECKING:
    from jaxtyping import Float
    from scipy.interpolate import CubicSpline

_SHAPE = 0.25  # 0 asks the same p of every look (Pocock), 0.5 nearly all of the last (O'Brien and Fleming)
_POINTS = 401  # of the grid between the poles, where a path stands
_NODES = 24  # of the Gauss-Legendre rule for one more seed
_SCORES = np.linspace(0, 6, 25)  # at which the chance is computed


@dataclass(frozen=True)
class SequentialDifference:
    """What the last look shows; ``low``, ``high``, ``p`` and ``equivalence`` hold at every look at once."""

    difference: PairedDifference
    equivalence: float


@dataclass(frozen=True)
class SequentialTest:
    """Paired t tests at planned numbers of seeds, with one error rate over all of them.

    The sweep may stop at any look, for any reason, and what is measured there keeps its meaning: without a
    true difference ``p`` falls below 0.05 at *any* look in at most 5 % of sweeps, a true difference of the
    margin gets an ``equivalence`` below 0.05 in at most 5 %, and the intervals of all looks cover the truth
    together in at least 95 %. So both may be corrected over encodings by ``apply_holm`` as usual. Each look is
    judged by its own seeds alone, so that its interval excludes zero exactly where its ``p`` is small. Differences
    are taken as normal, as in any t test. The largest number of seeds is part of the promise: raising it after
    a look breaks it.

    Args:
        looks: numbers of seeds at which to look, rising, from 2 up.

    Raises:
        OptionError: MP105, when there is no look, or they do not rise.

    Source: boundaries of Wang & Tsiatis 1987 (shape 0.25), and the repeated intervals and p values of Jennison &
    Turnbull 1989. The t statistics of small samples are no Brownian
    motion, so the chance of crossing is computed for t itself, as Jennison & Turnbull 1991 do. Differs: the
    recursion is over one angle a seed, see the comment in this file.

    >>> test = SequentialTest.up_to(20)
    >>> shown = test.measure([-0.11, -0.10, -0.13, -0.11, -0.12], margin=0.02).difference
    >>> f"p = {shown.p:.4f} at {shown.n} seeds [{shown.low:.3f}, {shown.high:.3f}]"
    'p = 0.0063 at 5 seeds [-0.156, -0.072]'
    """

    looks: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((1, *self.looks), self.looks, strict=False))
        if not (self.looks and rising):
            raise OptionError(
                "looks are rising numbers of seeds from 2 up",
                got=str(list(self.looks)),
                fix="for example 3, 5, 10, 20",
            )

    @classmethod
    def up_to(cls, max_seeds: int, first: int = 3) -> SequentialTest:
        """Look after every seed from ``first`` to ``max_seeds``."""
        return cls(tuple(range(first, max_seeds + 1)))

    def measure(
        self, differences: Sequence[float] | Float[np.ndarray, " seeds"], margin: float
    ) -> SequentialDifference:
        """Measure paired differences at the last look that they reach.

        Args:
            differences: one finite number a seed, in the order of the seeds, which no result may change;
                seeds past the last look reached are not used. Left untouched.
            margin: the difference, in the same unit, from which on it matters; the same at every look.

        Returns:
            A ``SequentialDifference``: ``n``, ``mean`` and ``sd`` at that look; ``low`` and ``high`` the
            repeated 95 % interval; ``p`` two-sided, in the direction of that mean. NaN before the first
            look (the mean alone is known), and where ``measure_difference`` has NaN. Arithmetic is float64.

        Raises:
            OptionError: MP105, for more differences than the last look has, or for a margin that is none.
            DataError: MP110, for a value that is not finite.
        """
        if len(differences) > self.looks[-1]:
            raise OptionError(
                "more seeds than the plan has", got=str(len(differences)), fix=f"at most {self.looks[-1]}"
            )
        taken = max((n for n in self.looks if n <= len(differences)), default=None)
        found = measure_difference(differences[:taken])
        if taken is None:
            return SequentialDifference(
                replace(found, sd=math.nan, low=math.nan, high=math.nan, p=math.nan), math.nan
            )
        p = min(2 * self._hold(found.p / 2, taken), 1.0)
        low, high = self.measure_interval(found, LEVEL)
        equivalence = self._hold(measure_equivalence(found, margin), taken)
        return SequentialDifference(replace(found, low=low, high=high, p=p), equivalence)

    def measure_interval(self, difference: PairedDifference, level: float) -> tuple[float, float]:
        """Measure the repeated interval of a difference at a look, at another level than 5 %.

        Args:
            difference: of ``measure``, at one of the looks.
            level: error rate of the intervals of all looks together; NaN gives NaN.

        Returns:
            Both ends, in float64; it excludes zero exactly where the difference's ``p`` is below ``level``. NaN
            where there is no interval.
        """
        if math.isnan(difference.p) or math.isnan(level):
            return math.nan, math.nan
        half = self._quantile(difference.n, self._critical(level)) * difference.sd / math.sqrt(difference.n)
        return difference.mean - half, difference.mean + half

    def chance(self, score: float | Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The chance, without a true difference, that the one-sided score of some look reaches ``score``.

        The score of a look at ``n`` seeds is the normal quantile of its one-sided t test's p, times
        ``(n / max_seeds) ** 0.25``. Relative accuracy 0.2 % around 5 %; 1 below a score of 0, and above 6, where
        the chance is below 1e-8, that of 6.
        """
        score = np.asarray(score, dtype=np.float64)
        return np.where(score < 0, 1.0, np.exp(self._curve(np.clip(score, 0, _SCORES[-1]))))

    @cached_property
    def _curve(self) -> CubicSpline:
        """The logarithm of the chance; a sweep asks for hundreds, and each takes tens of milliseconds."""
        from scipy.interpolate import CubicSpline

        return CubicSpline(_SCORES, np.log([self._reach(score) for score in _SCORES]))

    def _reach(self, score: float) -> float:
        from scipy.special import ndtr

        first, looks = self.looks[0], self.looks
        later: tuple[np.ndarray, np.ndarray] | None = None
        for n in range(looks[-1] - 1, first - 1, -1):
            here = _grid(self._bar(n, score))
            later = here, _step(n, here, self._bar(n + 1, score), later)
        chance = float(ndtr(-score / self._weight(first)))
        if later is not None:
            here, rest = later
            chance += float(np.trapezoid(rest * np.cos(here) ** (first - 2), here)) * _scale(first - 1)
        return chance

    def _critical(self, level: float) -> float:
        """The score that some look reaches, on either side, with a chance of ``level``."""
        from scipy.optimize import brentq

        return float(brentq(lambda score: self.chance(score) - level / 2, 0, _SCORES[-1]))

    def _hold(self, p: float, n: int) -> float:
        """A one-sided p at ``n`` seeds, made to hold at every look; NaN stays NaN."""
        from scipy.special import ndtri

        return float(self.chance(-float(ndtri(p)) * self._weight(n))) if not math.isnan(p) else math.nan

    def _weight(self, n: int) -> float:
        return float((n / self.looks[-1]) ** _SHAPE)

    def _quantile(self, n: int, score: float) -> float:
        """The t statistic that has this score at ``n`` seeds."""
        from scipy.special import ndtr, stdtrit

        return -float(stdtrit(n - 1, ndtr(-score / self._weight(n))))

    def _bar(self, n: int, score: float) -> float:
        """The t statistic that has this score, as a cosine; out of reach where nobody looks."""
        if n not in self.looks:
            return math.inf
        t = self._quantile(n, score)
        return t / math.hypot(t, math.sqrt(n - 1)) if math.isfinite(t) else math.inf


# Without a true difference the direction of n normal differences is uniform on the sphere, and t depends on
# it through u alone, the cosine to (1, ..., 1): t = u sqrt(n - 1) / sqrt(1 - u^2). One more seed turns the
# direction by an independent angle a of density ~ cos(a)^(n - 1) towards the new axis, so that
# u' = (sqrt(n) u cos a + sin a) / sqrt(n + 1): a Markov chain on an interval, walked backwards below.


def _step(
    n: int, latitude: np.ndarray, bar: float, later: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """The chance to reach a bar after ``n`` seeds, from each latitude asin(u), given that from ``n + 1`` seeds."""
    along = math.sqrt(n) * np.sin(latitude)
    # u' >= bar is |a - turn| <= width
    turn = np.arctan2(1, along)
    width = np.arccos(np.clip(bar * math.sqrt(n + 1) / np.hypot(along, 1), -1, 1))
    first, last = (np.clip(turn + side * width, -math.pi / 2, math.pi / 2) for side in (-1, 1))
    reached = _share(last, n) - _share(first, n)
    if later is None:
        return reached
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    pole = np.full_like(latitude, math.pi / 2)
    for start, end in ((-pole, first), (last, pole)):
        half = (end - start) / 2
        angle = ((start + end) / 2)[:, None] + half[:, None] * nodes  # (points, nodes)
        u = (along[:, None] * np.cos(angle) + np.sin(angle)) / math.sqrt(n + 1)
        chance = np.interp(np.arcsin(np.clip(u, -1, 1)), *later)
        reached = reached + _scale(n) * half * ((chance * np.cos(angle) ** (n - 1)) @ weights)
    return reached


def _grid(bar: float) -> np.ndarray:
    """Latitudes up to the bar, denser towards it, where the chance rises steeply."""
    top = math.asin(min(bar, 1.0)) + math.pi / 2
    return top * (1 - np.linspace(1, 0, _POINTS) ** 2) - math.pi / 2


def _scale(n: int) -> float:
    """What makes ``cos(a)^(n - 1)`` a density between the poles."""
    from scipy.special import gammaln

    return math.exp(gammaln((n + 1) / 2) - gammaln(n / 2)) / math.sqrt(math.pi)


def _share(angle: np.ndarray, n: int) -> np.ndarray:
    """The chance that one more seed turns by at most ``angle``."""
    from scipy.special import betainc

    sine = np.sin(angle)
    return 0.5 * (1 + np.sign(sine) * betainc(0.5, n / 2, sine**2))
