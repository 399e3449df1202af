"""The recommendation of a sweep in sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milepost.comparison.sentences.explanation import explain, find_changes
from milepost.comparison.sentences.words import digits, join, list_causes, name_better, name_length
from milepost.comparison.verdicts.pairs import ComparisonFamily
from milepost.comparison.verdicts.ranking import BEHIND, Standing, find_standing
from milepost.comparison.verdicts.recommendation import Outcome, decide
from milepost.comparison.verdicts.scores import MIN_SEEDS, Trial

if TYPE_CHECKING:
    from milepost.tasks import Floor


def build_recommendation(
    family: ComparisonFamily,
    trials: Sequence[Trial],
    *,
    degradations: Sequence[Mapping[str, Any]] = (),
    excluded: Collection[str] = (),
    floor: Floor | None = None,
    examples: str | None = None,
) -> dict[str, Any]:
    """Say which encoding ``decide`` names at the deciding length, why, and what could change it.

    Args:
        family: all pairs at the deciding length.
        trials: trial documents, in any order; not modified.
        degradations: from ``build_degradations``; without them nothing is said about longer inputs.
        excluded: encodings that must not be named. They stay members of the family.
        floor: score at the deciding length of the best answer that ignores the input.
        examples: what a score at the deciding length is a mean over, as ``256 different prompts``.

    Returns:
        ``encoding`` (None where none can be named), ``sentence``, ``because`` and ``would_change`` (lists
        of sentences with the numbers).
    """
    standing = find_standing(family, trials, excluded, floor, examples)
    decision = decide(standing)
    kept = [trial for trial in trials if trial["encoding"] not in excluded]
    return {
        "encoding": decision.encoding,
        "sentence": _write_headline(standing, decision.outcome),
        "because": explain(standing, kept),
        "would_change": find_changes(
            standing, kept, [d for d in degradations if d["encoding"] not in excluded]
        ),
    }


def _write_headline(standing: Standing, outcome: Outcome) -> str:
    best, where = standing.best, name_length(standing)
    match outcome:
        case "no_verdict":
            return _no_best(standing)
        case "at_floor":
            return _at_floor(standing)
        case "behind_unjudged":
            has = "has" if len(standing.ahead) == 1 else "have"
            mean = f"{name_better(standing)} mean {standing.criterion.title}"
            return f"No winner {where}: {join(standing.ahead)} {has} a {mean} than {best}, but no verdict."
        case "only_judged":
            causes = "; ".join(f"{name}: {', '.join(list_causes(standing, name))}" for name in standing.aside)
            return f"No winner {where}: only {best} can be judged ({causes})."
        case "only_answer":
            return f"{best} is the only encoding with an answer {where}."
        case "only_compared":
            return f"No winner {where}: {best} is the only encoding that was compared."
        case "winner":
            return _name_winner(standing)
        case "no_winner":
            return _no_winner(standing)


def _at_floor(standing: Standing) -> str:
    best, floor = standing.best, standing.floor
    assert best is not None
    assert floor is not None
    return (
        f"No encoding solves the task {name_length(standing)}: the best {standing.criterion.title}, "
        f"{standing.scores.mean(best):.3f} of {best}, is no better than {floor.score:.3f}, which an answer that ignores "
        "the input gets."
    )


def _no_best(standing: Standing) -> str:
    where, aside = name_length(standing), standing.aside
    if not aside:
        return f"No encoding has an answer {where}."
    if all(name in standing.at_floor for name in aside):
        return (
            f"No verdict {where}: nothing was learned. No encoding has a {name_better(standing)} "
            f"{standing.criterion.title} than an answer that ignores the input."
        )
    if any(standing.scores.failing(name) for name in aside):
        return f"No verdict {where}: training did not converge."
    return f"No winner {where}: naming one takes at least {MIN_SEEDS} finished seeds per encoding."


def _name_winner(standing: Standing) -> str:
    constant = [pair.encoding for pair in standing.rivals if pair.verdict == "constant_worse"]
    tested = [pair.encoding for pair in standing.rivals if pair.verdict == "worse"]
    begin, than = (
        f"{standing.best} has a",
        f"{name_better(standing)} {standing.criterion.title} {name_length(standing)} than",
    )
    judged = " that can be judged" if standing.aside else ""
    if not constant:
        return f"{begin} significantly {than} {_others(tested, judged)}."
    if not tested:
        return f"{begin} {than} {join(constant)}, by the same amount at every seed."
    return f"{begin} significantly {than} {join(tested)}, and than {join(constant)} by the same amount at every seed."


def _others(names: list[str], judged: str) -> str:
    if len(names) == 1:
        return f"{names[0]}, the only other encoding{judged}" if judged else names[0]
    return f"{'both' if len(names) == 2 else f'all {len(names)}'} other encodings{judged}"


def _no_winner(standing: Standing) -> str:
    best, where = standing.best, name_length(standing)
    left = [pair for pair in standing.rivals if pair.verdict not in BEHIND]
    flips = [flip for pair in left for flip in pair.flips]
    if flips and all(pair.flips for pair in left):
        return f"No winner {where}: {best} leads at the chosen settings, but {flips[0]}."
    names = join(standing.open)
    if {pair.verdict for pair in left} == {"equivalent"}:
        margin = digits(standing.family.margin)
        return f"No difference that matters between {names} {where}: all are within {margin} of {best}."
    return f"No significant difference between {names} {where}."
