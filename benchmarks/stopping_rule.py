"""Simulate sweeps that stop when every encoding is decided: how often they are wrong, and how many seeds they take.

    python benchmarks/stopping_rule.py

Prints the numbers on stopping in docs/statistics.md. Six encodings, the first is the baseline; seeds up to 20, a look
after each from the third on. All 15 pairs are tested as one family; a sweep stops when the five with the baseline
are decided. Differences have a spread of 1.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtri, stdtr

from milepost.statistics import LEVEL, SequentialTest

PLAN = SequentialTest.up_to(20)
UNDECIDED, BELOW, ABOVE, EQUIVALENT = 0, 1, 2, 3
Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Differences of two such values have spread 1."""
    return rng.normal(0, math.sqrt(0.5), shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Now and then a seed trains much worse: gamma of shape 4 (skewness 1), the baseline's spread half of the others'."""
    spread = np.sqrt(np.where(np.arange(shape[1]) == 0, 0.2, 0.8))[:, None]
    return spread * (rng.gamma(4.0, 1.0, shape) - 4.0) / 2.0


@dataclass(frozen=True)
class Outcome:
    """Verdicts of simulated sweeps: ``(sweeps, pairs, looks)`` at every look, and where each sweep stopped.

    The first pairs, as many as ``encodings``, are those with the baseline.
    """

    encodings: int
    true: np.ndarray
    margin: float
    looks: np.ndarray
    verdicts: np.ndarray
    stop: np.ndarray

    @property
    def final(self) -> np.ndarray:
        """Verdicts of the pairs with the baseline, ``(sweeps, encodings)``, at the stop."""
        shown = self.verdicts[:, : self.encodings]
        return np.take_along_axis(shown, self.stop[:, None, None], axis=2)[..., 0]

    @property
    def seeds(self) -> np.ndarray:
        """Seeds that each sweep took."""
        return self.looks[self.stop]

    def false_claims(self) -> np.ndarray:
        """Sweeps that at some look call an encoding of some pair better or worse that is not."""
        wrong = (self.verdicts == BELOW) & (self.true >= 0)[:, None]
        wrong |= (self.verdicts == ABOVE) & (self.true <= 0)[:, None]
        return wrong.any((1, 2))

    def false_equivalence(self) -> np.ndarray:
        """Sweeps that at some look call a pair equivalent whose true difference is the margin or more."""
        return ((self.verdicts == EQUIVALENT) & (abs(self.true) >= self.margin)[:, None]).any((1, 2))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p values along the second axis."""
    order = np.argsort(p, axis=1)
    factors = np.arange(p.shape[1], 0, -1).reshape(1, -1, *[1] * (p.ndim - 2))
    adjusted = np.maximum.accumulate(factors * np.take_along_axis(p, order, 1), axis=1)
    out = np.empty_like(p)
    np.put_along_axis(out, order, np.minimum(adjusted, 1), 1)
    return out


def pair_up(values: np.ndarray) -> np.ndarray:
    """Differences of all pairs along the second axis, each later one minus an earlier one; the first one's first."""
    one, other = np.array(list(combinations(range(values.shape[1]), 2))).T
    return values[:, other] - values[:, one]


def true_pairs(true: Sequence[float]) -> np.ndarray:
    """True differences of all pairs, from those with the baseline."""
    return pair_up(np.array([[0.0, *true]]))[0]


def draw(true: Sequence[float], noise: Noise, sweeps: int, seeds: int, seed: int) -> np.ndarray:
    """Differences ``(sweeps, pairs, seeds)`` of a baseline and of encodings with the given true differences from it."""
    values = noise(np.random.default_rng(seed), (sweeps, len(true) + 1, seeds))
    return pair_up(values + np.array([0.0, *true])[:, None])


def p_by_look(differences: np.ndarray, test: SequentialTest, margin: float) -> tuple[np.ndarray, ...]:
    """What ``SequentialTest.measure`` gives at every look: means, p, equivalence, each ``(..., looks)``."""
    n = np.array(test.looks)
    sums, squares = differences.cumsum(-1)[..., n - 1], (differences**2).cumsum(-1)[..., n - 1]
    mean = sums / n
    error = np.sqrt((squares - n * mean**2) / (n - 1) / n)
    weight = (n / n[-1]) ** 0.25

    def score(t: np.ndarray) -> np.ndarray:
        return -ndtri(np.clip(stdtr(n - 1, t), 1e-300, 1)) * weight

    p = np.minimum(2 * test.chance(score(-abs(mean) / error)), 1)
    return mean, p, test.chance(score((abs(mean) - margin) / error))


def simulate(
    true: Sequence[float],
    *,
    margin: float,
    noise: Noise = normal,
    sweeps: int = 10_000,
    test: SequentialTest = PLAN,
    seed: int = 0,
) -> Outcome:
    """Simulate sweeps with these true differences from the baseline."""
    mean, p, equivalence = p_by_look(draw(true, noise, sweeps, test.looks[-1], seed), test, margin)
    verdicts = np.where(holm(p) < LEVEL, np.where(mean < 0, BELOW, ABOVE), UNDECIDED)
    verdicts[holm(equivalence) < LEVEL] = EQUIVALENT
    decided = (verdicts[:, : len(true)] != UNDECIDED).all(1)
    stop = np.where(decided.any(1), decided.argmax(1), len(test.looks) - 1)
    return Outcome(len(true), true_pairs(true), margin, np.array(test.looks), verdicts, stop)


def fixed_p(d: np.ndarray) -> np.ndarray:
    """Holm-adjusted p of plain t tests on all seeds of ``d``."""
    seeds = d.shape[-1]
    error = d.std(-1, ddof=1) / math.sqrt(seeds)
    return holm(2 * stdtr(seeds - 1, -abs(d.mean(-1)) / error))


def fixed_seeds(true: Sequence[float], margin: float, sweeps: int) -> int | None:
    """The fewest seeds, fixed beforehand, that decide 95 % of the pairs with the baseline."""
    for seeds in range(3, 21):
        d = draw(true, normal, sweeps, seeds, 1)
        mean, error = d.mean(-1), d.std(-1, ddof=1) / math.sqrt(seeds)
        equal = stdtr(seeds - 1, (abs(mean) - margin) / error) < LEVEL
        if ((fixed_p(d) < LEVEL) | equal)[:, : len(true)].mean() >= 0.95:
            return seeds
    return None


def print_contrasts(sweeps: int) -> None:
    """What plain tests do where the rule is used, and what the rule costs where they would do."""
    null = draw([0] * 5, normal, sweeps, 20, 0)
    looks = np.array([(fixed_p(null[..., :n]) < LEVEL).any(1) for n in PLAN.looks])
    print(f"\nplain tests after every seed: any false better or worse in {100 * looks.any(0).mean():.1f} %")
    data = draw([0] * 5, skewed, sweeps, 20, 0)
    shown = data[:, :5]
    skewness = ((shown - shown.mean()) ** 3).mean() / shown.std() ** 3
    rates = [f"{100 * (fixed_p(data[..., :n]) < LEVEL).any(1).mean():.1f} %" for n in (3, 5, 10, 20)]
    print(f"skewed seeds (skewness {skewness:.1f}), fixed at 3, 5, 10, 20 seeds: {', '.join(rates)}")
    for effect in (0.75, 1.0, 1.5):
        true = [effect, 0, 0, 0, 0]
        ruled = (simulate(true, margin=0.0, sweeps=sweeps).verdicts[:, 0, -1] == ABOVE).mean()
        fixed = (fixed_p(draw(true, normal, sweeps, 20, 0))[:, 0] < LEVEL).mean()
        print(
            f"one difference of {effect:g}, 20 seeds: found in {100 * ruled:.0f} %, fixed {100 * fixed:.0f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=10_000)
    sweeps = parser.parse_args().sweeps
    print(
        "| true differences | margin | any false better or worse | any false equivalent | seeds: mean (10 to 90 %) "
        "| decided | seeds fixed beforehand for 95 % decided |"
    )
    print("|---|---|---|---|---|---|---|")
    for true, margin, noise in (
        ([0, 0, 0, 0, 0], 0.0, normal),
        ([0, 0, 0, 0, 0], 0.0, skewed),
        ([0, 0, 0, 0, 0], 1.5, normal),
        ([1.5, 1.5, -1.5, 1.5, -1.5], 1.5, normal),
        ([0, 0, 0, 1.5, 1.5], 1.5, normal),
        ([-1, 0, 1, 2, 4], 1.5, normal),
        ([-2, -1.5, 1.5, 2, 4], 0.5, normal),
        ([-4, -3, 3, 4, 5], 0.5, normal),
        ([-20, -14, -12, -10, 5], 1.5, normal),
    ):
        result = simulate(true, margin=margin, noise=noise, sweeps=sweeps)
        low, high = np.quantile(result.seeds, [0.1, 0.9])
        print(
            f"| {', '.join(f'{d:g}' for d in true)}{' (skewed)' if noise is skewed else ''} | {margin:g} "
            f"| {100 * result.false_claims().mean():.1f} % | {100 * result.false_equivalence().mean():.1f} % "
            f"| {result.seeds.mean():.1f} ({low:.0f} to {high:.0f}) | {100 * (result.final != UNDECIDED).mean():.0f} % "
            f"| {fixed_seeds(true, margin, sweeps) or 'more than 20'} |"
        )
    print_contrasts(sweeps)


if __name__ == "__main__":
    main()
