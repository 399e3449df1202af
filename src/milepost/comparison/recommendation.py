"""What a sweep recommends, in sentences that go no further than its intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.comparison.pairing import MIN_SEEDS, Pair, Scores, Trial, read_scores
from milepost.statistics import SequentialTest, measure_seeds


@dataclass(frozen=True)
class _Standing:
    """The best encoding at the deciding length and how each other one stands to it."""

    scores: Scores
    metric: str  # its name, as sentences write it
    best: str | None  # best mean among those that can carry a verdict
    rivals: tuple[tuple[Pair, float, str], ...]  # other minus best, adjusted p, verdict; best first
    aside: tuple[str, ...]  # cannot carry a verdict: too few seeds, or not converged
    margin: float

    @property
    def open(self) -> list[str]:
        """Encodings that are not shown to be worse than the best, the best included."""
        rivals = [pair.encoding for pair, _, verdict in self.rivals if verdict != "worse"]
        return [self.best, *rivals] if self.best else []

    @property
    def ahead(self) -> list[str]:
        """Encodings without a verdict whose mean is nevertheless better than the best one's."""
        if self.best is None:
            return []
        bar = self.scores.cost(self.best)
        return [name for name in self.aside if self.scores.cost(name) < bar]

    def word(self, lower: str, higher: str) -> str:
        """The word that fits the direction of the metric."""
        return higher if self.scores.higher_is_better else lower


def build_recommendation(
    comparisons: Sequence[Mapping[str, Any]],
    trials: Sequence[Trial],
    *,
    baseline: str,
    deciding_length: int,
    metric: str = "loss",
    metric_name: str | None = None,
    higher_is_better: bool = False,
    margin: float = 0.01,
    sequential: SequentialTest | None = None,
    degradations: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Name the encoding to take at the deciding length, or say why none can be named.

    An encoding is named only if it is shown to be better, beyond the margin of equivalence, than *each*
    other encoding that can be judged, so a false winner is named in at most 5 % of sweeps, whatever is
    true of the others. Tests: the encoding with the best mean against each other one; because it was picked
    after looking, p is adjusted by ``apply_selection``, so that at most 5 % of sweeps call any encoding worse
    than the best that is not. The truly best encoding stays among those not called worse in at least 95 % of
    sweeps. No encoding is named with fewer than three seeds, and none while another that cannot be judged
    (too few seeds, not converged) has a better mean. Where the others have no answer, the only one that
    answers is named.

    Args:
        comparisons: from ``build_comparisons``, of the same trials.
        trials: trial documents, in any order; read only.
        baseline: the encoding that was declared beforehand.
        deciding_length: the length that decides, in positions; named before looking.
        metric: the entry of ``metrics`` that is judged.
        metric_name: what sentences call it; by default the entry, with spaces for underscores.
        higher_is_better: of the metric.
        margin: of practical equivalence, as a share of the mean of the comparisons' baseline; of the best
            encoding's where that has none.
        sequential: as in ``build_comparisons``.
        degradations: from ``build_degradations``; without them nothing is said on longer inputs.

    Returns:
        ``encoding`` (None where none can be named), ``sentence``, ``because`` and ``would_change`` (lists
        of sentences with the numbers).

    Raises:
        DataError: MP110, when a seed of an encoding is there twice.

    Source: selection of the best by comparisons with the sample best (Hsu 1984). Differs: corrected paired
    t tests instead of a pooled spread, so that unequal spreads do no harm.

    >>> losses = {"learned": (1.85, 1.83, 1.88), "rotary": (1.70, 1.69, 1.71)}
    >>> trials = [{"encoding": name, "seed": seed, "status": "done", "metrics": {"32": {"loss": value}}}
    ...           for name, values in losses.items() for seed, value in enumerate(values)]
    >>> from milepost.comparison.verdict import build_comparisons
    >>> comparisons = build_comparisons(trials, baseline="learned", lengths=[32])
    >>> answer = build_recommendation(comparisons, trials, baseline="learned", deciding_length=32)
    >>> answer["encoding"], answer["sentence"]
    ('rotary', 'rotary is shown to have a lower loss at length 32 than the other encoding.')
    """
    here = [c for c in comparisons if c["length"] == deciding_length]
    scores = read_scores(trials, deciding_length, metric, higher_is_better, sequential)
    reference = next((c["baseline"] for c in here if scores.values[c["baseline"]]), None)
    standing = _rank(scores, metric_name or metric.replace("_", " "), reference, margin)
    encoding, sentence = _decide(standing)
    return {
        "encoding": encoding,
        "sentence": sentence,
        "because": [
            *_explain_rank(standing),
            *_explain_baseline(here, baseline, deciding_length),
            *_explain_aside(standing),
            *_explain_trials(trials),
        ],
        "would_change": [
            *_change_by_seeds(standing),
            *_change_by_length(standing.metric, degradations),
            *_change_by_parameters(standing, trials),
        ],
    }


def _rank(scores: Scores, metric: str, reference: str | None, share: float) -> _Standing:
    judged = [name for name in scores.ranked() if scores.judged(name)]
    aside = tuple(name for name in scores.values if name not in judged and name not in scores.unanswered)
    if not judged:
        return _Standing(scores, metric, None, (), aside, math.nan)
    best, *others = judged
    margin = scores.margin(reference or best, share)
    rivals = tuple(scores.decide(others, best, margin, picked=True))
    return _Standing(scores, metric, best, rivals, aside, margin)


def _decide(standing: _Standing) -> tuple[str | None, str]:
    at, best, scores = f"at length {standing.scores.length}", standing.best, standing.scores
    if best is None:
        if standing.aside and all(len(scores.values[name]) >= MIN_SEEDS for name in standing.aside):
            return None, f"No verdict {at}: training had not converged."
        if standing.aside:
            return None, f"No winner can be named {at}: that takes {MIN_SEEDS} finished seeds an encoding."
        return None, f"No encoding has an answer {at}."
    if standing.ahead:
        lies = f"lie{'s' if len(standing.ahead) == 1 else ''} {standing.word('below', 'above')} {best}"
        return None, f"No winner can be named {at}: {_join(standing.ahead)}, without a verdict, {lies}."
    if not standing.rivals:
        if standing.aside or not scores.unanswered:
            return None, f"No winner can be named {at}: {best} has no other encoding to be held against."
        return best, f"{best} is the only encoding with an answer {at}."
    if len(standing.open) == 1:
        others = len(standing.rivals)
        against = "the other encoding" if others == 1 else f"each of the {others} other encodings"
        judged = " that can be judged" if standing.aside else ""
        better = f"a {standing.word('lower', 'higher')} {standing.metric}"
        return best, f"{best} is shown to have {better} {at} than {against}{judged}."
    names = _join(standing.open)
    if {verdict for _, _, verdict in standing.rivals} <= {"worse", "equivalent"}:
        margin = _digits(standing.margin)
        return None, f"No difference that matters between {names} {at}: all lie within {margin} of {best}."
    return None, f"No difference shown between {names} {at}."


def _explain_rank(standing: _Standing) -> list[str]:
    if standing.best is None:
        return []
    scores, best = standing.scores, standing.best
    most = standing.word("lowest", "highest")
    lines = [
        f"{best} has the {most} mean {standing.metric}: {scores.mean(best):#.4g} over {len(scores.values[best])} seeds."
    ]
    tested = sum(not math.isnan(pair.difference.p) for pair, _, _ in standing.rivals)
    pairs = tested * (tested + 1) // 2
    of = f"adjusted for the {pairs} pairs of {tested + 1} encodings" if tested > 1 else "one test"
    if scores.sequential is not None:
        of += f" and for looks up to {scores.sequential.looks[-1]} seeds"
    for pair, p, verdict in standing.rivals:
        d = pair.difference
        words = {
            "worse": "worse",
            "equivalent": "equivalent within the margin",
            "undecided": "no difference shown",
        }
        numbers = f"{d.mean:+.3g}"
        if not math.isnan(d.p):
            numbers += f" [{d.low:+.3g}, {d.high:+.3g}], p = {p:.2g}, {of}"
        elif d.sd == 0:
            numbers += ", the same in every seed (without a spread there is no test)"
        word = words.get(verdict, "too few common seeds")
        lines.append(f"{pair.encoding} against {standing.best}: {numbers}, {d.n} seeds: {word}.")
    return lines


def _explain_baseline(here: Sequence[Mapping[str, Any]], baseline: str, length: int) -> list[str]:
    used = {c["baseline"] for c in here} - {baseline}
    return [
        f"{baseline} has no answer at length {length}; {name}, the best that answers, is the baseline there."
        for name in used
    ]


def _explain_aside(standing: _Standing) -> list[str]:
    scores, at = standing.scores, f"at length {standing.scores.length}"
    lines = [f"{name} has no answer {at}." for name in sorted(scores.unanswered)]
    for name in standing.aside:
        seeds = len(scores.values[name])
        cause = (
            "training had not converged" if seeds >= MIN_SEEDS else f"{seeds} of at least {MIN_SEEDS} seeds"
        )
        lines.append(f"{name} carries no verdict {at}: {cause}.")
    return lines


def _explain_trials(trials: Sequence[Trial]) -> list[str]:
    lost = sorted((t for t in trials if t["status"] != "done"), key=lambda t: (t["encoding"], t["seed"]))
    return [
        f"{t['encoding']}, seed {t['seed']}: {t['status']}{': ' + t['reason'] if t.get('reason') else ''}."
        for t in lost
    ]


def _change_by_seeds(standing: _Standing) -> list[str]:
    lines = []
    few = [name for name in standing.aside if len(standing.scores.values[name]) < MIN_SEEDS]
    if few:
        lines.append(f"At least {MIN_SEEDS} finished seeds of {_join(few)}.")
    unsettled = [name for name in standing.aside if name not in few]
    if unsettled:
        lines.append(f"Longer training: {_join(unsettled)} had not converged.")
    undecided = [pair for pair, _, verdict in standing.rivals if verdict == "undecided"]
    if undecided:
        pair = max(undecided, key=lambda pair: (pair.difference.sd, pair.encoding))
        lines.append(_seeds_sentence(pair, standing.margin))
    return lines


def _seeds_sentence(pair: Pair, margin: float) -> str:
    d, names = pair.difference, f"{pair.encoding} and {pair.baseline}"
    if math.isnan(pair.detectable):
        return (
            f"Seeds that differ: the difference between {names} is the same at every seed; no test applies."
        )
    found = f"{d.n} seeds find a difference of {pair.detectable:.2g} between {names} with 80 % power"
    needed = measure_seeds(d.sd, margin) if margin > 0 else None
    if needed is None or needed <= d.n:
        return f"More seeds: {found}; a smaller one may exist."
    return f"More seeds: {found}; the margin of {_digits(margin)} would take about {needed}."


def _change_by_length(metric: str, degradations: Sequence[Mapping[str, Any]]) -> list[str]:
    if not degradations:
        return []
    longest = max(d["length"] for d in degradations)
    there = sorted((d for d in degradations if d["length"] == longest), key=lambda d: d["encoding"])
    parts = []
    if holding := [d["encoding"] for d in there if d["holds"]]:
        parts.append(
            f"{_join(holding)} keep{'s' if len(holding) == 1 else ''} the {metric} of the trained length"
        )
    if changing := [d for d in there if not d["holds"] and d["relative"] is not None]:
        parts.append(
            "the change is " + _join([f"{100 * d['relative']:+.1f} % for {d['encoding']}" for d in changing])
        )
    if silent := [d["encoding"] for d in there if d["n_seeds"] == 0]:
        parts.append(f"no answer from {_join(silent)}")
    return [f"A need for length {longest}: {'; '.join(parts)}."] if parts else []


def _change_by_parameters(standing: _Standing, trials: Sequence[Trial]) -> list[str]:
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
    counts = _join([f"{sizes[name]:,} for {name}" for name in [*chosen, *fewer]])
    return [f"A limit on position parameters: {counts}."]


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _digits(value: float) -> str:
    return f"{value:.2g}"
