"""From the trials of a sweep to verdicts: each encoding against the baseline, and against itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from milepost.comparison.pairing import MIN_SEEDS, Pair, Scores, Trial, margin_of, or_none, read_scores
from milepost.comparison.recommendation import build_recommendation
from milepost.errors import OptionError, UnknownName
from milepost.statistics import SequentialTest, measure_difference

__all__ = ["build_comparisons", "build_degradations", "build_recommendation"]


def build_comparisons(
    trials: Sequence[Trial],
    *,
    baseline: str,
    lengths: Iterable[int],
    metric: str = "loss",
    higher_is_better: bool = False,
    margin: float = 0.01,
    sequential: SequentialTest | None = None,
) -> list[dict[str, Any]]:
    """Hold every encoding against the baseline at every length.

    The first line that applies gives the verdict:

    ================  =====================================================================
    verdict           when
    ================  =====================================================================
    undefined         the encoding's finished trials have no answer at this length
    too_few_seeds     fewer than three seeds finished in both encodings
    not_converged     a trial of these seeds, on either side, is flagged not converged
    equivalent        two one-sided t tests put the difference inside the margin at 5 %
                      (even where the interval excludes zero: real, but too small to matter)
    better, worse     the adjusted p is below 0.05; better is the lower value, or the higher one of a metric
                      where ``higher_is_better``
    undecided         otherwise: no difference shown, none excluded
    ================  =====================================================================

    ``not_robust`` is given elsewhere, by whoever varies the settings.

    At most 5 % of sweeps without any true difference hold a false *better* or *worse* at one length.
    Seeds are paired; a trial that failed, diverged or is missing takes its seed out of its pair and
    nothing else. p is adjusted by Holm's method over the encodings at one length. Where the baseline has no
    answer, the best encoding that answers takes its place: it is then named as ``baseline``, and because it
    was picked after looking, p is adjusted by ``apply_selection``.

    With ``sequential`` the number of seeds may depend on the results: p, intervals and equivalence then hold
    at every look together, and equivalence is adjusted over the encodings as p is.

    Args:
        trials: trial documents, in any order; read only. ``converged`` of None counts as converged.
        baseline: the encoding that was declared beforehand.
        lengths: evaluation lengths, in positions.
        metric: the entry of ``metrics`` that is judged.
        higher_is_better: of the metric.
        margin: of practical equivalence, as a share of the baseline's mean at each length (of 1 where that
            is 0).
        sequential: the looks, planned beforehand, of a sweep that stops when it is decided.

    Returns:
        One dict a length and encoding other than the baseline, ordered by length, then by encoding:
        ``baseline encoding metric better length n_seeds difference low high p p_adjusted margin detectable
        verdict``. ``better`` is ``lower`` or ``higher``, ``difference`` encoding minus baseline, ``low`` and
        ``high`` its 95 % interval, not adjusted over encodings,
        ``margin`` and ``detectable`` (80 % power, a single test at 5 %) are in its unit. None stands for
        what cannot be computed.

    Raises:
        UnknownName: MP104, when no trial has the baseline.
        OptionError: MP105, when the margin is negative or not finite, or there are more seeds than planned.
        DataError: MP110, when a seed of an encoding is there twice.

    Source: paired t (Student 1908), Holm 1979, two one-sided tests (Schuirmann 1987). Differs: equivalence
    is asked first, so a tiny difference is never called better however many seeds show it.

    >>> losses = {"learned": (1.85, 1.83, 1.88), "rotary": (1.70, 1.69, 1.71)}
    >>> trials = [{"encoding": name, "seed": seed, "status": "done", "metrics": {"32": {"loss": value}}}
    ...           for name, values in losses.items() for seed, value in enumerate(values)]
    >>> [c] = build_comparisons(trials, baseline="learned", lengths=[32])
    >>> f"{c['encoding']}: {c['difference']:.3f} [{c['low']:.3f}, {c['high']:.3f}], {c['verdict']}"
    'rotary: -0.153 [-0.191, -0.115], better'
    """
    known = {trial["encoding"] for trial in trials}
    if baseline not in known:
        raise UnknownName.among("baseline among the trials", baseline, known)
    if not (math.isfinite(margin) and margin >= 0):
        raise OptionError("a margin is a share of at least 0", got=str(margin), fix="pass 0.01 for 1 %")
    return [
        _document(scores, metric, *line)
        for length in sorted(set(lengths))
        for scores in [read_scores(trials, length, metric, higher_is_better, sequential)]
        for line in _compare_at(scores, baseline, margin)
    ]


def _compare_at(scores: Scores, declared: str, share: float) -> list[tuple[Pair, float, str, float]]:
    """Pairs at one length, each with its adjusted p, its verdict and the margin."""
    ranked = scores.ranked()
    picked = declared in scores.unanswered and bool(ranked)
    baseline = ranked[0] if picked else declared
    margin = scores.margin(baseline, share)
    names = [name for name in scores.values if name != baseline]
    decided = scores.decide(names, baseline, 0.0 if math.isnan(margin) else margin, picked=picked)
    return [(*line, margin) for line in decided]


def _document(
    scores: Scores, metric: str, pair: Pair, p_adjusted: float, verdict: str, margin: float
) -> dict[str, Any]:
    shown = "undefined" if pair.encoding in scores.unanswered else verdict
    numbers = scores.describe(pair, metric, p_adjusted=p_adjusted, margin=margin, verdict=shown)
    return {"baseline": pair.baseline, "encoding": pair.encoding, **numbers}


def build_degradations(
    trials: Sequence[Trial],
    lengths: Iterable[int],
    train_length: int,
    *,
    metric: str = "loss",
    higher_is_better: bool = False,
    margin: float = 0.01,
) -> list[dict[str, Any]]:
    """Hold every encoding at the lengths past the trained one against itself at the trained one.

    Differences are paired within each trial, so they say what the length does to one trained model. An
    encoding may hold and still be the worse one; ``build_comparisons`` says which is better.

    Args:
        trials: trial documents, in any order; read only.
        lengths: evaluation lengths, in positions; those up to ``train_length`` are left out.
        train_length: the length trained at, in positions.
        metric: the entry of ``metrics``.
        higher_is_better: of the metric.
        margin: the loss of quality (a rise, or a drop where higher is better) that still counts as holding,
            as a share of the mean at the trained length (of 1 where that is 0).

    Returns:
        One dict a length and encoding, ordered by length, then by encoding: ``encoding length n_seeds
        difference low high relative holds``. ``difference`` is the mean change, a rise above 0, with its plain 95 %
        interval, ``relative`` the same as a share of the mean at the trained length. ``holds`` is true where
        the whole interval gets worse by at most the margin, None below three seeds. None, with 0 seeds, stands where the
        encoding has no answer.

    Raises:
        DataError: MP110, when a seed of an encoding is there twice.

    Source: paired t (Student 1908); no correction, each line is its own statement.

    >>> trials = [{"encoding": "rotary", "seed": seed, "status": "done",
    ...            "metrics": {"32": {"loss": short}, "128": {"loss": long}}}
    ...           for seed, (short, long) in enumerate([(1.70, 2.70), (1.69, 2.69), (1.71, 2.75)])]
    >>> [d] = build_degradations(trials, [16, 32, 128], 32)
    >>> f"{d['relative']:.0%} [{d['low']:.2f}, {d['high']:.2f}] holds: {d['holds']}"
    '60% [0.96, 1.07] holds: False'
    """
    trained = read_scores(trials, train_length, metric, higher_is_better)
    return [
        _degradation(trained, read_scores(trials, length, metric), name, margin)
        for length in sorted({length for length in lengths if length > train_length})
        for name in trained.values
    ]


def _degradation(trained: Scores, there: Scores, name: str, margin: float) -> dict[str, Any]:
    ours, before = there.values[name], trained.values[name]
    seeds = sorted(ours.keys() & before.keys())
    own = math.fsum(before[seed] for seed in seeds) / max(len(seeds), 1)
    change = measure_difference([ours[seed] - before[seed] for seed in seeds])
    judged = len(seeds) >= MIN_SEEDS and not math.isnan(change.high)
    worst = -change.low if trained.higher_is_better else change.high
    return {
        "encoding": name,
        "length": there.length,
        "n_seeds": change.n,
        "difference": or_none(change.mean),
        "low": or_none(change.low),
        "high": or_none(change.high),
        "relative": or_none(change.mean / abs(own)) if own else None,
        "holds": worst <= margin_of(own, margin) if judged else None,
    }
