"""The reasons of a recommendation, and what could change it, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from milepost.comparison.sentences.words import digits, join, list_causes, name_length
from milepost.comparison.verdicts.ranking import Standing
from milepost.comparison.verdicts.scores import MIN_SEEDS, Pair, Trial
from milepost.statistics import measure_seeds

_WORDS = {
    "worse": "worse",
    "constant_worse": "worse",
    "equivalent": "equivalent within the margin",
    "undecided": "no significant difference",
    "not_robust": "depends on the settings that were tried",
}


def explain(standing: Standing, trials: Sequence[Trial]) -> list[str]:
    """The reasons: how each encoding compares with the best, which carry no verdict, which trials are lost."""
    return [
        *_explain_rank(standing),
        *_explain_baseline(standing),
        *_explain_aside(standing),
        *_explain_trials(trials),
    ]


def find_changes(
    standing: Standing, trials: Sequence[Trial], degradations: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What could change the recommendation: seeds, training, a longer need, a limit on parameters."""
    return [
        *_change_by_training(standing),
        *_change_by_seeds(standing),
        *_change_by_length(standing, degradations),
        *_change_by_parameters(standing, trials),
    ]


def _explain_rank(standing: Standing) -> Iterator[str]:
    if standing.best is None:
        if standing.floor is not None and standing.aside:
            yield f"An answer that ignores the input gets {standing.floor.score:#.4g} {name_length(standing)}."
        return
    scores, best, title = standing.scores, standing.best, standing.criterion.title
    most = "highest" if standing.criterion.higher_is_better else "lowest"
    floor = (
        ""
        if standing.floor is None
        else f" An answer that ignores the input gets {standing.floor.score:#.4g}."
    )
    yield f"{best} has the {most} mean {title}: {scores.mean(best):#.4g} over {len(scores.values[best])} seeds.{floor}"
    for pair in standing.rivals:
        yield _explain_pair(pair, standing.examples)
        yield from (f"Not robust: {flip}." for flip in pair.flips)
    families = dict.fromkeys(pair.family for pair in standing.rivals if pair.family)
    looks = standing.criterion.sequential
    for family in families:
        also = f" and for looks up to {looks.looks[-1]} seeds" if looks is not None else ""
        yield f"These intervals and p values are adjusted for the {family}{also}."


def _explain_pair(pair: Pair, examples: str | None) -> str:
    found, word = pair.difference, _WORDS.get(pair.verdict, "too few common seeds")
    begin = f"{pair.encoding} compared with {pair.baseline}: {found.mean:+.3g}"
    if found.constant:
        rests = "it rests on the resolution of the metric" + (f", with {examples}" if examples else "")
        return f"{begin} at every one of {found.n} seeds: {word}. Without a spread there is no test; {rests}."
    if pair.family is not None:
        begin += f" [{pair.low_adjusted:+.3g}, {pair.high_adjusted:+.3g}], p = {pair.p_adjusted:.2g}"
    return f"{begin}, {found.n} seeds: {word}."


def _explain_baseline(standing: Standing) -> Iterator[str]:
    family = standing.family
    if family.baseline != family.declared:
        yield (
            f"{family.declared} has no answer {name_length(standing)}, so the table compares with {family.baseline}, "
            "the best encoding that answers."
        )
    elif standing.scores.failing(family.baseline):
        yield (
            f"The baseline {family.baseline} carries no verdict {name_length(standing)}, so the table has none against it."
        )


def _explain_aside(standing: Standing) -> Iterator[str]:
    for name in standing.unanswered:
        yield f"{name} has no answer {name_length(standing)}."
    for name in standing.aside:
        yield f"{name} carries no verdict {name_length(standing)}: {'; '.join(list_causes(standing, name))}."


def _explain_trials(trials: Sequence[Trial]) -> list[str]:
    lost = sorted((t for t in trials if t["status"] != "done"), key=lambda t: (t["encoding"], t["seed"]))
    return [
        f"{t['encoding']}, seed {t['seed']}: {t['status']}{': ' + t['reason'] if t.get('reason') else ''}."
        for t in lost
    ]


def _change_by_training(standing: Standing) -> Iterator[str]:
    scores = standing.scores
    if lost := [name for name in standing.aside if scores.lost(name)]:
        yield f"A lower learning rate: {join(lost)} diverged."
    slow = [name for name in standing.aside if name not in lost and scores.failing(name)]
    if learned_nothing := [name for name in slow if name in standing.at_floor]:
        yield f"Longer training, or another learning rate: {join(learned_nothing)} learned nothing that the test shows."
    if falling := [name for name in slow if name not in standing.at_floor]:
        yield f"Longer training: {join(falling)} did not converge."


def _change_by_seeds(standing: Standing) -> Iterator[str]:
    few = [name for name in standing.aside if len(standing.scores.values[name]) < MIN_SEEDS]
    if few:
        yield f"At least {MIN_SEEDS} finished seeds of {join(few)}."
    undecided = [pair for pair in standing.rivals if pair.verdict == "undecided" and pair.tested]
    if undecided:
        pair = max(undecided, key=lambda pair: (pair.difference.sd, pair.encoding))
        yield _seeds_sentence(pair)


def _seeds_sentence(pair: Pair) -> str:
    d, names = pair.difference, f"{pair.encoding} and {pair.baseline}"
    found = f"{d.n} seeds find a difference of {pair.detectable:.2g} between {names} with 80 % power"
    needed = measure_seeds(d.sd, pair.margin) if pair.margin > 0 else None
    if needed is None or needed <= d.n:
        return f"More seeds: {found}; a smaller one may exist."
    return f"More seeds: {found}; the margin of {digits(pair.margin)} would take about {needed}."


def _change_by_length(standing: Standing, degradations: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the longest length that does not decide already would change, among encodings that learned something."""
    scores = standing.scores
    rows = [d for d in degradations if d["length"] != scores.length and not scores.failing(d["encoding"])]
    if not rows:
        return []
    longest = max(d["length"] for d in rows)
    there = sorted((d for d in rows if d["length"] == longest), key=lambda d: d["encoding"])
    parts = []
    if holding := [d["encoding"] for d in there if d["holds"]]:
        parts.append(
            f"{join(holding)} keep{'s' if len(holding) == 1 else ''} the {standing.criterion.title} of the trained length"
        )
    if changing := [d for d in there if not d["holds"] and d["relative"] is not None]:
        parts.append(
            "the change is " + join([f"{100 * d['relative']:+.1f} % for {d['encoding']}" for d in changing])
        )
    if silent := [d["encoding"] for d in there if d["n_seeds"] == 0]:
        parts.append(f"no answer from {join(silent)}")
    return [f"A need for length {longest}: {'; '.join(parts)}."] if parts else []


def _change_by_parameters(standing: Standing, trials: Sequence[Trial]) -> list[str]:
    sizes = {
        t["encoding"]: t["position_parameters"] for t in trials if t.get("position_parameters") is not None
    }
    chosen = [name for name in standing.open if name in sizes]
    if not chosen or max(sizes[name] for name in chosen) == min(sizes.values()):
        return []
    fewer = sorted(
        (name for name in sizes if name not in chosen and sizes[name] < min(sizes[n] for n in chosen)),
        key=lambda name: (sizes[name], name),
    )
    counts = join([f"{sizes[name]:,} for {name}" for name in [*chosen, *fewer]])
    return [f"A limit on position parameters: {counts}."]
