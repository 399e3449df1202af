"""All pairs of encodings at one length, tested together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from milepost.comparison.verdicts.scores import Criterion, Pair, Scores, Trial, adjust, read_scores
from milepost.errors import UnknownName

Flips = Callable[[Pair, int], Sequence[str]]
"""The settings at which the verdict of a pair at a length would be another one."""


@dataclass(frozen=True)
class ComparisonFamily:
    """All pairs of encodings at one length: whoever asks for a pair gets the same numbers and the same verdict.

    Args:
        scores: what the encodings scored.
        declared: the baseline that was chosen before training.
        baseline: what the others are compared with: ``declared``, or the best encoding where that has no answer.
        margin: of practical equivalence, for all pairs, in the metric's unit.
        pairs: by the names of both encodings, each pair once.
    """

    scores: Scores
    declared: str
    baseline: str
    margin: float
    pairs: dict[tuple[str, str], Pair]

    def pair(self, encoding: str, baseline: str) -> Pair:
        """``encoding`` minus ``baseline``."""
        found = self.pairs.get((encoding, baseline))
        return found if found is not None else self.pairs[baseline, encoding].turned()


def build_family(
    trials: Sequence[Trial],
    length: int,
    baseline: str,
    criterion: Criterion,
    find_flips: Flips | None = None,
) -> ComparisonFamily:
    """Compare every encoding with every other one at one length.

    Every pair with a test is a member, unconverged ones too: which pairs count must not depend on the results.

    Args:
        trials: trial documents, in any order; not modified.
        length: the evaluation length, in positions.
        baseline: the encoding that was declared beforehand.
        criterion: what is compared.
        find_flips: looks for settings at which a verdict would be another one.

    Raises:
        UnknownName: MP104, when no trial has the baseline. DataError: MP110, when a seed of an encoding is there
            twice. OptionError: MP105, when there are more seeds than planned.
    """
    scores = read_scores(trials, length, criterion)
    if baseline not in scores.values:
        raise UnknownName.among("baseline among the trials", baseline, scores.values)
    ranked = scores.ranked()
    used = ranked[0] if baseline in scores.unanswered and ranked else baseline
    margin = scores.margin(used if scores.values[used] or not ranked else ranked[0])
    pairs = [scores.pair(one, other, margin) for one, other in combinations(sorted(scores.values), 2)]
    members = {name for pair in pairs if pair.tested for name in (pair.encoding, pair.baseline)}
    several = "pair" if sum(pair.tested for pair in pairs) == 1 else "pairs"
    adjusted = adjust(pairs, criterion, f"{several} of {len(members)} encodings at length {length}")
    if find_flips is not None:
        adjusted = [replace(pair, flips=tuple(find_flips(pair, length))) for pair in adjusted]
    return ComparisonFamily(scores, baseline, used, margin, {(p.encoding, p.baseline): p for p in adjusted})
