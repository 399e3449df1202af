"""Words that several sentences share."""

from __future__ import annotations

from collections.abc import Sequence

from milepost.comparison.verdicts.ranking import Standing
from milepost.comparison.verdicts.scores import MIN_SEEDS


def join(things: Sequence[object]) -> str:
    """A list as a sentence writes it.

    >>> join(["a", "b", "c"])
    'a, b and c'
    """
    words = [str(thing) for thing in things]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def digits(value: float) -> str:
    """Two digits, as margins are written."""
    return f"{value:.2g}"


def name_length(standing: Standing) -> str:
    """The deciding length, as sentences name it."""
    return f"at length {standing.scores.length}"


def name_better(standing: Standing) -> str:
    """The word for a better value of the metric."""
    return "higher" if standing.criterion.higher_is_better else "lower"


def list_causes(standing: Standing, encoding: str) -> list[str]:
    """Why an encoding carries no verdict, a clause for each cause."""
    lacks, causes = standing.lacks(encoding), []
    seeds = (
        f"{'seed' if len(lacks.diverged) == 1 else 'seeds'} {join(lacks.diverged)}" if lacks.diverged else ""
    )
    if seeds and not lacks.scored:
        return [f"{seeds} diverged"]
    if seeds:
        causes.append(f"{seeds} diverged, so the rest is a selection")
    if lacks.at_floor:
        causes.append(
            f"its {standing.criterion.title} is no better than that of an answer that ignores the input"
        )
    elif lacks.unconverged:
        causes.append("training did not converge")
    if lacks.scored < MIN_SEEDS:
        causes.append(f"{lacks.scored} of at least {MIN_SEEDS} seeds finished with a score")
    return causes
