"""From the trials of a sweep to paired differences between two encodings at one length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.errors import DataError
from milepost.statistics import (
    LEVEL,
    PairedDifference,
    apply_holm,
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
            return "better" if self.difference.mean < 0 else "worse"
        return "undecided"


@dataclass(frozen=True)
class Scores:
    """What the trials of a sweep scored at one length.

    Args:
        length: the evaluation length, in positions.
        losses: encoding to seed to loss, of finished trials with a finite loss; every encoding of the
            sweep is a key.
        unanswered: encodings whose finished trials have no answer at this length.
        unconverged: encodings and seeds of finished trials that are flagged as not converged.
    """

    length: int
    losses: dict[str, dict[int, float]]
    unanswered: frozenset[str]
    unconverged: frozenset[tuple[str, int]]

    def mean(self, encoding: str) -> float:
        """Mean over the seeds that answered; NaN where none did."""
        values = [value for _, value in sorted(self.losses[encoding].items())]
        return math.fsum(values) / len(values) if values else math.nan

    def judged(self, encoding: str) -> bool:
        """Whether the encoding alone brings what a verdict needs: enough seeds, all converged."""
        seeds = self.losses[encoding]
        return len(seeds) >= MIN_SEEDS and not any((encoding, seed) in self.unconverged for seed in seeds)

    def ranked(self) -> list[str]:
        """Encodings that answer, best first; those that can carry no verdict come last."""
        answering = [name for name, losses in self.losses.items() if losses]
        return sorted(answering, key=lambda name: (not self.judged(name), self.mean(name), name))

    def pair(self, encoding: str, baseline: str, margin: float) -> Pair:
        """Measure ``encoding`` minus ``baseline`` over their common seeds."""
        ours, theirs = self.losses[encoding], self.losses[baseline]
        seeds = sorted(ours.keys() & theirs.keys())
        difference = measure_difference([ours[seed] - theirs[seed] for seed in seeds])
        return Pair(
            encoding,
            baseline,
            difference,
            measure_equivalence(difference, margin),
            not any((name, seed) in self.unconverged for name in (encoding, baseline) for seed in seeds),
        )

    def adjust_all(self, names: Sequence[str]) -> dict[frozenset[str], float]:
        """Holm-adjusted p of every pair of ``names``, as one family of k(k-1)/2 tests."""
        pairs = list(itertools.combinations(names, 2))
        p = apply_holm([self.pair(*pair, margin=0.0).difference.p for pair in pairs])
        return {frozenset(pair): value for pair, value in zip(pairs, p.tolist(), strict=True)}

    def margin(self, encoding: str, share: float) -> float:
        """The margin of equivalence, ``share`` of the encoding's mean loss; NaN where it has none."""
        return share * abs(self.mean(encoding))


def read_scores(trials: Sequence[Trial], length: int, metric: str) -> Scores:
    """Sort the trials of a sweep by encoding and seed.

    Raises:
        DataError: MP110, when a seed of an encoding is there twice.
    """
    losses: dict[str, dict[int, float]] = {name: {} for name in sorted({t["encoding"] for t in trials})}
    answers: dict[str, set[bool]] = {name: set() for name in losses}
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
        losses[key[0]][key[1]] = float(value)
        if trial.get("converged") is False:
            unconverged.add(key)
    unanswered = frozenset(name for name, kinds in answers.items() if kinds == {False})
    return Scores(length, losses, unanswered, frozenset(unconverged))
