"""From the trials of a sweep to paired differences between two encodings at one length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from milepost.errors import DataError
from milepost.statistics import (
    LEVEL,
    PairedDifference,
    SequentialTest,
    apply_holm,
    apply_selection,
    measure_detectable,
    measure_difference,
    measure_equivalence,
)

Trial = Mapping[str, Any]

MIN_SEEDS = 3  # fewer name no winner


@dataclass(frozen=True)
class Pair:
    """One encoding against another over the seeds that finished in both; NaN where seeds are too few."""

    encoding: str
    baseline: str
    difference: PairedDifference
    equivalence: float
    converged: bool
    higher_is_better: bool = False

    @property
    def detectable(self) -> float:
        """Smallest difference that this many seeds find with 80 % power."""
        return measure_detectable(self.difference.sd, self.difference.n)

    def decide(self, p_adjusted: float) -> str:
        """Name the verdict; the table is in ``build_comparisons``."""
        if self.difference.n < MIN_SEEDS:
            return "too_few_seeds"
        if not self.converged:
            return "not_converged"
        if self.equivalence < LEVEL:  # false for NaN, as below
            return "equivalent"
        if p_adjusted < LEVEL:
            return "better" if (self.difference.mean > 0) == self.higher_is_better else "worse"
        return "undecided"


@dataclass(frozen=True)
class Scores:
    """What the trials of a sweep scored at one length.

    Args:
        length: the evaluation length, in positions.
        values: encoding to seed to the metric's value, of finished trials with a finite one; every encoding of
            the sweep is a key.
        unanswered: encodings whose finished trials have no answer at this length.
        unconverged: encodings and seeds of finished trials that are flagged as not converged.
        higher_is_better: of the metric.
        sequential: the looks planned, where the number of seeds depends on the results.
    """

    length: int
    values: dict[str, dict[int, float]]
    unanswered: frozenset[str]
    unconverged: frozenset[tuple[str, int]]
    higher_is_better: bool = False
    sequential: SequentialTest | None = None

    def mean(self, encoding: str) -> float:
        """Mean over the seeds that answered; NaN where none did."""
        values = [value for _, value in sorted(self.values[encoding].items())]
        return math.fsum(values) / len(values) if values else math.nan

    def cost(self, encoding: str) -> float:
        """The mean, turned so that the lower is the better."""
        return -self.mean(encoding) if self.higher_is_better else self.mean(encoding)

    def judged(self, encoding: str) -> bool:
        """Whether the encoding alone brings what a verdict needs: enough seeds, all converged."""
        seeds = self.values[encoding]
        return len(seeds) >= MIN_SEEDS and not any((encoding, seed) in self.unconverged for seed in seeds)

    def ranked(self) -> list[str]:
        """Encodings that answer, best first; those that can carry no verdict come last."""
        answering = [name for name, values in self.values.items() if values]
        return sorted(answering, key=lambda name: (not self.judged(name), self.cost(name), name))

    def pair(self, encoding: str, baseline: str, margin: float) -> Pair:
        """Measure ``encoding`` minus ``baseline`` over their common seeds."""
        ours, theirs = self.values[encoding], self.values[baseline]
        seeds = sorted(ours.keys() & theirs.keys())
        differences = [ours[seed] - theirs[seed] for seed in seeds]
        if self.sequential is None:
            difference = measure_difference(differences)
            equivalence = measure_equivalence(difference, margin)
        else:
            found = self.sequential.measure(differences, margin)
            difference, equivalence = found.difference, found.equivalence
        converged = not any(
            (name, seed) in self.unconverged for name in (encoding, baseline) for seed in seeds
        )
        return Pair(encoding, baseline, difference, equivalence, converged, self.higher_is_better)

    def decide(
        self, names: Sequence[str], baseline: str, margin: float, *, picked: bool
    ) -> list[tuple[Pair, float, str]]:
        """Hold ``names`` against one encoding: each pair, its adjusted p, its verdict.

        ``picked`` says that the one was picked as the best after looking. Equivalence is corrected only where
        the number of seeds depends on it.
        """
        correct = apply_selection if picked else apply_holm
        pairs = [self.pair(name, baseline, margin) for name in names]
        adjusted = correct([pair.difference.p for pair in pairs]).tolist()
        if self.sequential is not None:
            equivalences = correct([pair.equivalence for pair in pairs]).tolist()
            pairs = [replace(pair, equivalence=p) for pair, p in zip(pairs, equivalences, strict=True)]
        return [(pair, p, pair.decide(p)) for pair, p in zip(pairs, adjusted, strict=True)]

    def margin(self, encoding: str, share: float) -> float:
        """The margin of equivalence in the metric's unit; NaN where the encoding has no answer."""
        return margin_of(self.mean(encoding), share)

    def describe(
        self, pair: Pair, metric: str, *, p_adjusted: float, margin: float, verdict: str
    ) -> dict[str, Any]:
        """The numbers of a pair as documents hold them; None stands for what cannot be computed."""
        return {
            "metric": metric,
            "better": "higher" if self.higher_is_better else "lower",
            "length": self.length,
            "n_seeds": pair.difference.n,
            "difference": or_none(pair.difference.mean),
            "low": or_none(pair.difference.low),
            "high": or_none(pair.difference.high),
            "p": or_none(pair.difference.p),
            "p_adjusted": or_none(p_adjusted),
            "margin": or_none(margin),
            "detectable": or_none(pair.detectable),
            "verdict": verdict,
        }


def or_none(value: float) -> float | None:
    """A number as JSON can hold it."""
    return None if math.isnan(value) else value


def margin_of(mean: float, share: float) -> float:
    """A share of a mean in size; of 1 where that is 0, as an accuracy may be."""
    return share * (abs(mean) or 1.0)


def read_scores(
    trials: Sequence[Trial],
    length: int,
    metric: str,
    higher_is_better: bool = False,
    sequential: SequentialTest | None = None,
) -> Scores:
    """Sort the trials of a sweep by encoding and seed.

    Raises:
        DataError: MP110, when a seed of an encoding is there twice.
    """
    values: dict[str, dict[int, float]] = {name: {} for name in sorted({t["encoding"] for t in trials})}
    answers: dict[str, set[bool]] = {name: set() for name in values}
    unconverged, seen = set(), set()
    for trial in trials:
        key = trial["encoding"], trial["seed"]
        if key in seen:
            raise DataError(
                "a trial is there twice",
                got=f"encoding {key[0]}, seed {key[1]}",
                fix="pass each encoding and seed once",
            )
        seen.add(key)
        metrics = trial.get("metrics") or {}
        if trial["status"] != "done" or str(length) not in metrics:
            continue
        scored = metrics[str(length)]
        answers[key[0]].add(scored is not None)
        value = None if scored is None else scored.get(metric)
        if value is None or not math.isfinite(value):
            continue
        values[key[0]][key[1]] = float(value)
        if trial.get("converged") is False:
            unconverged.add(key)
    unanswered = frozenset(name for name, kinds in answers.items() if kinds == {False})
    return Scores(length, values, unanswered, frozenset(unconverged), higher_is_better, sequential)
