"""What a sweep recommends, in sentences that go no further than its intervals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milepost.comparison.verdicts.explanation import explain, find_changes
from milepost.comparison.verdicts.pairs import ComparisonFamily
from milepost.comparison.verdicts.ranking import BEHIND, Standing, digits, find_standing, join
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
    """Name the encoding to take at the deciding length, or say why none can be named.

    An encoding is named only if its verdict against *each* other encoding that can be judged is *better* or
    *constant_better*. The verdicts are those of the family of all pairs, which ``build_comparisons`` shows too, so
    the sentence and the table cannot disagree, and a false winner is named in at most 5 % of sweeps. The truly
    best encoding stays among those not called worse in at least 95 % of sweeps. No encoding is named with fewer
    than three seeds, none while another that cannot be judged (too few seeds, diverged, not converged) has a better
    mean, none that scores no better than an answer that ignores the input, and none whose lead depends on
    the settings that were tried. Where the others have no answer, the only one that answers is named.

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

    Source: Holm 1979 over all pairs. Differs from comparisons with the sample best (Hsu 1984): corrected paired
    t tests instead of a pooled spread, so unequal spreads do no harm.
    """
    standing = find_standing(family, trials, excluded, floor, examples)
    encoding, sentence = _decide(standing)
    kept = [trial for trial in trials if trial["encoding"] not in excluded]
    return {
        "encoding": encoding,
        "sentence": sentence,
        "because": explain(standing, kept),
        "would_change": find_changes(
            standing, kept, [d for d in degradations if d["encoding"] not in excluded]
        ),
    }


def _decide(standing: Standing) -> tuple[str | None, str]:
    best, where, title = standing.best, standing.where, standing.criterion.title
    if best is None:
        return None, _no_best(standing)
    if standing.best_at_floor and standing.floor is not None:
        return None, (
            f"No encoding solves the task {where}: the best {title}, {standing.scores.mean(best):.3f} of {best}, "
            f"is no better than {standing.floor.score:.3f}, which an answer that ignores the input gets."
        )
    if standing.ahead:
        has = "has" if len(standing.ahead) == 1 else "have"
        return None, (
            f"No winner {where}: {join(standing.ahead)} {has} a {better(standing)} mean {title} than {best}, "
            "but no verdict."
        )
    if not standing.rivals:
        if standing.aside:
            causes = "; ".join(f"{name}: {', '.join(standing.lacks(name))}" for name in standing.aside)
            return None, f"No winner {where}: only {best} can be judged ({causes})."
        if standing.unanswered:
            return best, f"{best} is the only encoding with an answer {where}."
        return None, f"No winner {where}: {best} is the only encoding that was compared."
    if len(standing.open) == 1:
        return best, _name_winner(standing)
    return None, _no_winner(standing)


def _no_best(standing: Standing) -> str:
    where, aside = standing.where, standing.aside
    if not aside:
        return f"No encoding has an answer {where}."
    if all(name in standing.at_floor for name in aside):
        return (
            f"No verdict {where}: nothing was learned. No encoding has a {better(standing)} "
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
        f"{better(standing)} {standing.criterion.title} {standing.where} than",
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
    best, where = standing.best, standing.where
    left = [pair for pair in standing.rivals if pair.verdict not in BEHIND]
    flips = [flip for pair in left for flip in pair.flips]
    if flips and all(pair.flips for pair in left):
        return f"No winner {where}: {best} leads at the chosen settings, but {flips[0]}."
    names = join(standing.open)
    if {pair.verdict for pair in left} == {"equivalent"}:
        margin = digits(standing.family.margin)
        return f"No difference that matters between {names} {where}: all are within {margin} of {best}."
    return f"No significant difference between {names} {where}."


def better(standing: Standing) -> str:
    """The word for a better value of the metric."""
    return "higher" if standing.criterion.higher_is_better else "lower"
