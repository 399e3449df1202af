"""Which encoding leads at the deciding length, and how each other one compares with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from milepost.comparison.verdicts.pairs import ComparisonFamily
from milepost.comparison.verdicts.scores import Criterion, Pair, Scores, Trial

if TYPE_CHECKING:
    from milepost.tasks import Floor

BEHIND = ("worse", "constant_worse")


@dataclass(frozen=True)
class Lacks:
    """Why an encoding carries no verdict.

    Args:
        diverged: seeds that did.
        scored: seeds that finished with a score.
        at_floor: whether a trial scored no better than an answer that ignores the input.
        unconverged: whether a trial did not converge.
    """

    diverged: tuple[int, ...]
    scored: int
    at_floor: bool
    unconverged: bool


@dataclass(frozen=True)
class Standing:
    """The best encoding at the deciding length and how each other one compares with it.

    Args:
        family: all pairs at the deciding length.
        best: best mean among those that can carry a verdict; None where there is none.
        rivals: each other encoding that can carry a verdict, minus the best; best first.
        aside: encodings that cannot carry a verdict: too few seeds with a score, diverged, not converged.
        unanswered: encodings without an answer at this length.
        at_floor: encodings of which a trial scored no better than an answer that ignores the input.
        floor: what such an answer scores at this length; None where it is not known.
        examples: what a score at this length is a mean over, as ``256 different prompts``; None where it is not known.
    """

    family: ComparisonFamily
    best: str | None
    rivals: tuple[Pair, ...]
    aside: tuple[str, ...]
    unanswered: tuple[str, ...]
    at_floor: frozenset[str]
    floor: Floor | None
    examples: str | None

    @property
    def scores(self) -> Scores:
        """What the encodings scored."""
        return self.family.scores

    @property
    def criterion(self) -> Criterion:
        """What decides."""
        return self.family.scores.criterion

    @property
    def open(self) -> list[str]:
        """Encodings that are not shown to be worse than the best, the best included."""
        rivals = [pair.encoding for pair in self.rivals if pair.verdict not in BEHIND]
        return [self.best, *rivals] if self.best else []

    @property
    def ahead(self) -> list[str]:
        """Encodings without a verdict whose mean is nevertheless better than the best one's."""
        if self.best is None:
            return []
        bar = self.scores.cost(self.best)
        return [name for name in self.aside if self.scores.cost(name) < bar]

    @property
    def best_at_floor(self) -> bool:
        """Whether even the best scores no better, beyond margin and chance, than an answer that ignores the input."""
        if self.best is None or self.floor is None:
            return False
        return self.criterion.is_at_floor(self.scores.mean(self.best), self.floor)

    def lacks(self, encoding: str) -> Lacks:
        """What an encoding lacks to carry a verdict."""
        scores = self.scores
        return Lacks(
            tuple(scores.lost(encoding)),
            len(scores.values[encoding]),
            encoding in self.at_floor,
            any(name == encoding for name, _ in scores.unconverged),
        )


def find_standing(
    family: ComparisonFamily,
    trials: Sequence[Trial],
    excluded: Collection[str] = (),
    floor: Floor | None = None,
    examples: str | None = None,
) -> Standing:
    """Compare the best of the encodings that are not ``excluded`` with each other one."""
    scores = family.scores
    names = [name for name in scores.values if name not in excluded]
    silent = [name for name in names if not scores.values[name] and name not in scores.unanswered]
    ranked = [*(name for name in scores.ranked() if name in names), *silent]
    judged = [name for name in ranked if scores.judged(name)]
    best = judged[0] if judged else None
    return Standing(
        family,
        best,
        tuple(family.pair(name, best) for name in judged[1:]) if best else (),
        tuple(name for name in ranked if name not in judged),
        tuple(name for name in names if name in scores.unanswered),
        frozenset(t["encoding"] for t in trials if t.get("at_floor")),
        floor,
        examples,
    )
