"""From the trials of a sweep to paired differences between encodings at one length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from milepost.errors import DataError, OptionError
from milepost.statistics import (
    PairedDifference,
    SequentialTest,
    apply_holm,
    find_holm_levels,
    judge_difference,
    measure_detectable,
    measure_difference,
    measure_equivalence,
    measure_interval,
    or_none,
)

if TYPE_CHECKING:
    from milepost.tasks import Floor

Trial = Mapping[str, Any]

MIN_SEEDS = 3  # fewer name no winner
_NAMES = {"too_few": "too_few_seeds", "same": "equivalent"}  # of verdicts, where documents have others
_ERRORS = 3.0  # standard errors of a floor that chance explains


@dataclass(frozen=True)
class Criterion:
    """What a comparison is decided by.

    Args:
        metric: the entry of a trial's ``metrics`` that is compared.
        title: what sentences call it; by default the entry, with spaces for underscores.
        higher_is_better: direction of the metric.
        bounded: whether the metric lies between 0 and 1, as accuracies do.
        margin: of practical equivalence: an absolute difference for a bounded metric, otherwise a share of the
            baseline's mean.
        sequential: the looks, planned beforehand, of a sweep that stops when it is decided.

    Raises:
        OptionError: MP105, when the margin is negative or not finite.
    """

    metric: str = "loss"
    title: str = ""
    higher_is_better: bool = False
    bounded: bool = False
    margin: float = 0.01
    sequential: SequentialTest | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise OptionError("the margin must be at least 0", got=str(self.margin), fix="pass 0.01 for 1 %")
        if not self.title:
            object.__setattr__(self, "title", self.metric.replace("_", " "))

    def margin_at(self, mean: float) -> float:
        """The margin in the metric's unit; NaN where there is no mean.

        >>> Criterion("loss").margin_at(2.0), Criterion("accuracy", bounded=True).margin_at(0.001)
        (0.02, 0.01)
        """
        if math.isnan(mean):
            return math.nan
        return self.margin if self.bounded else self.margin * abs(mean)

    def is_at_floor(self, value: float, floor: Floor) -> bool:
        """Whether a score is not better than the floor, by more than the margin and three standard errors."""
        lead = self.cost(floor.score) - self.cost(value)
        return lead <= max(self.margin_at(floor.score), _ERRORS * floor.error)

    def cost(self, value: float) -> float:
        """The value with its sign changed where needed, so that lower is better."""
        return -value if self.higher_is_better else value


@dataclass(frozen=True)
class Pair:
    """One encoding compared with another, ``encoding`` minus ``baseline``; NaN where seeds are too few.

    Args:
        difference: over the seeds that finished in both; its interval is not adjusted.
        equivalence: p of "the difference reaches the margin".
        margin: in the metric's unit.
        higher_is_better: direction of the metric.
        unconverged: those of the two that have a trial which did not converge, or diverged.
        undefined: whether one of the two has no answer at this length.
        family: the tests that this one was corrected for, in words; None where nothing was tested.
        p_adjusted: by Holm's method over that family.
        low_adjusted, high_adjusted: the interval at the level at which the pair was tested.
        flips: settings at which the verdict would be another one, a sentence each.
    """

    encoding: str
    baseline: str
    difference: PairedDifference
    equivalence: float
    margin: float
    higher_is_better: bool = False
    unconverged: tuple[str, ...] = ()
    undefined: bool = False
    family: str | None = None
    p_adjusted: float = math.nan
    low_adjusted: float = math.nan
    high_adjusted: float = math.nan
    flips: tuple[str, ...] = ()

    @property
    def tested(self) -> bool:
        """Whether there is a test of a difference, with enough seeds to count."""
        return self.difference.n >= MIN_SEEDS and not math.isnan(self.difference.p)

    @property
    def detectable(self) -> float:
        """Smallest difference that this many seeds find with 80 % power."""
        return measure_detectable(self.difference.sd, self.difference.n)

    @property
    def verdict(self) -> str:
        """The verdict; the table is in ``build_comparisons``."""
        return "not_robust" if self.flips else self.plain_verdict

    @property
    def plain_verdict(self) -> str:
        """The verdict at the chosen settings, whatever other settings say."""
        if self.undefined:
            return "undefined"
        if self.unconverged:
            return "not_converged"
        verdict = judge_difference(
            self.difference,
            self.p_adjusted,
            higher_is_better=self.higher_is_better,
            fewest=MIN_SEEDS,
            margin=self.margin,
            equivalence=self.equivalence,
        )
        return _NAMES.get(verdict, verdict)

    def turned(self) -> Pair:
        """The same comparison seen from the other side."""
        d = self.difference
        return replace(
            self,
            encoding=self.baseline,
            baseline=self.encoding,
            difference=replace(d, mean=0.0 - d.mean, low=0.0 - d.high, high=0.0 - d.low),  # no minus zero
            low_adjusted=0.0 - self.high_adjusted,
            high_adjusted=0.0 - self.low_adjusted,
        )

    def describe(self) -> dict[str, Any]:
        """The numbers as documents hold them; None stands for what cannot be computed."""
        found = self.difference
        numbers: dict[str, Any] = {
            "n_seeds": found.n,
            "difference": or_none(found.mean),
            "low": or_none(found.low),
            "high": or_none(found.high),
            "low_adjusted": or_none(self.low_adjusted),
            "high_adjusted": or_none(self.high_adjusted),
            "family": self.family,
            "p": or_none(found.p),
            "p_adjusted": or_none(self.p_adjusted),
            "margin": or_none(self.margin),
            "detectable": or_none(self.detectable),
            "verdict": self.verdict,
            "unconverged": list(self.unconverged),
        }
        return numbers | ({"flips": list(self.flips)} if self.flips else {})


@dataclass(frozen=True)
class Scores:
    """What the trials of a sweep scored at one length.

    Args:
        length: the evaluation length, in positions.
        criterion: what is compared.
        values: encoding to seed to the metric's value, of finished trials with a finite one; every encoding of
            the sweep is a key.
        unanswered: encodings whose finished trials have no answer at this length.
        unconverged: encodings and seeds of finished trials that did not converge.
        diverged: encodings and seeds of trials that diverged.
    """

    length: int
    criterion: Criterion
    values: dict[str, dict[int, float]]
    unanswered: frozenset[str]
    unconverged: frozenset[tuple[str, int]]
    diverged: frozenset[tuple[str, int]]

    def mean(self, encoding: str) -> float:
        """Mean over the seeds that answered; NaN where none did."""
        values = [value for _, value in sorted(self.values[encoding].items())]
        return math.fsum(values) / len(values) if values else math.nan

    def cost(self, encoding: str) -> float:
        """The mean with its sign changed where needed, so that lower is better."""
        return self.criterion.cost(self.mean(encoding))

    def lost(self, encoding: str) -> list[int]:
        """Seeds of an encoding that diverged: what is left of it is a selection."""
        return sorted(seed for name, seed in self.diverged if name == encoding)

    def failing(self, encoding: str, seeds: Sequence[int] | None = None) -> bool:
        """Whether an encoding diverged in any seed, or did not converge in one of ``seeds``, by default all."""
        chosen = self.values[encoding] if seeds is None else seeds
        return bool(self.lost(encoding)) or any((encoding, seed) in self.unconverged for seed in chosen)

    def judged(self, encoding: str) -> bool:
        """Whether the encoding brings what a verdict needs: enough seeds, all converged."""
        return len(self.values[encoding]) >= MIN_SEEDS and not self.failing(encoding)

    def ranked(self) -> list[str]:
        """Encodings that answer, best first; those that can carry no verdict come last."""
        answering = [name for name, values in self.values.items() if values]
        return sorted(answering, key=lambda name: (not self.judged(name), self.cost(name), name))

    def pair(self, encoding: str, baseline: str, margin: float) -> Pair:
        """Measure ``encoding`` minus ``baseline`` over their common seeds; nothing is adjusted yet."""
        claimed = 0.0 if math.isnan(margin) else margin  # 0 claims no equivalence
        ours, theirs = self.values[encoding], self.values[baseline]
        seeds = sorted(ours.keys() & theirs.keys())
        differences = [ours[seed] - theirs[seed] for seed in seeds]
        if self.criterion.sequential is None:
            difference = measure_difference(differences)
            equivalence = measure_equivalence(difference, claimed)
        else:
            found = self.criterion.sequential.measure(differences, claimed)
            difference, equivalence = found.difference, found.equivalence
        return Pair(
            encoding,
            baseline,
            difference,
            equivalence,
            margin,
            self.criterion.higher_is_better,
            unconverged=tuple(name for name in (encoding, baseline) if self.failing(name, seeds)),
            undefined=bool({encoding, baseline} & self.unanswered),
        )

    def margin(self, encoding: str) -> float:
        """The margin of equivalence in the metric's unit; NaN where the encoding has no answer."""
        return self.criterion.margin_at(self.mean(encoding))


def adjust(pairs: Sequence[Pair], criterion: Criterion, what: str) -> list[Pair]:
    """Correct pairs that are tested together by Holm's step-down method.

    Args:
        pairs: the family; those without a test are no members of it and stay as they are.
        criterion: with ``sequential``, equivalence is corrected too, because the number of seeds depends on it.
        what: names the family, after the number of its tests: ``pairs of 3 encodings at length 32``.
    """
    members = [pair for pair in pairs if pair.tested]
    p_values = [pair.difference.p for pair in members]
    levels, adjusted = find_holm_levels(p_values).tolist(), apply_holm(p_values).tolist()
    equivalences = [pair.equivalence for pair in members]
    measure = measure_interval
    if criterion.sequential is not None:
        equivalences = apply_holm(equivalences).tolist()
        measure = criterion.sequential.measure_interval
    done = {}
    for pair, level, p, equivalence in zip(members, levels, adjusted, equivalences, strict=True):
        low, high = measure(pair.difference, level)
        done[pair.encoding, pair.baseline] = replace(
            pair,
            equivalence=equivalence,
            family=f"{len(members)} {what}",
            p_adjusted=p,
            low_adjusted=low,
            high_adjusted=high,
        )
    return [done.get((pair.encoding, pair.baseline), pair) for pair in pairs]


def read_scores(trials: Sequence[Trial], length: int, criterion: Criterion) -> Scores:
    """Sort the trials of a sweep by encoding and seed.

    Raises:
        DataError: MP110, when a seed of an encoding is there twice.
    """
    values: dict[str, dict[int, float]] = {name: {} for name in sorted({t["encoding"] for t in trials})}
    answers: dict[str, set[bool]] = {name: set() for name in values}
    unconverged, diverged, seen = set(), set(), set()
    for trial in trials:
        key = trial["encoding"], trial["seed"]
        if key in seen:
            raise DataError(
                "a trial is there twice",
                got=f"encoding {key[0]}, seed {key[1]}",
                fix="pass each encoding and seed once",
            )
        seen.add(key)
        if trial["status"] == "diverged":
            diverged.add(key)
        metrics = trial.get("metrics") or {}
        if trial["status"] != "done" or str(length) not in metrics:
            continue
        scored = metrics[str(length)]
        answers[key[0]].add(scored is not None)
        value = None if scored is None else scored.get(criterion.metric)
        if value is None or not math.isfinite(value):
            continue
        values[key[0]][key[1]] = float(value)
        if trial.get("converged") is False:
            unconverged.add(key)
    unanswered = frozenset(name for name, kinds in answers.items() if kinds == {False})
    return Scores(length, criterion, values, unanswered, frozenset(unconverged), frozenset(diverged))
