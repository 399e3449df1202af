"""From the trials of a sweep to verdicts: each encoding against the baseline, and against itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from milepost.comparison.pairing import MIN_SEEDS, Pair, Scores, Trial, read_scores
from milepost.comparison.recommendation import build_recommendation
from milepost.errors import OptionError, UnknownName
from milepost.statistics import apply_holm, measure_difference

__all__ = ["build_comparisons", "build_degradations", "build_recommendation"]


def build_comparisons(
    trials: Sequence[Trial],
    *,
    baseline: str,
    lengths: Iterable[int],
    metric: str = "loss",
    margin: float = 0.01,
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
    better, worse     the Holm-adjusted p is below 0.05; better is the lower value
    undecided         otherwise: no difference shown, none excluded
    ================  =====================================================================

    ``not_robust`` is given elsewhere, by whoever varies the settings.

    At most 5 % of sweeps without any true difference hold a false *better* or *worse* at one length.
    Seeds are paired; a trial that failed, diverged or is missing takes its seed out of its pair and
    nothing else. Where the baseline has no answer, the best encoding that answers takes its place: it is
    then named as ``baseline``, and because it was picked after looking, Holm's family is every pair of
    the encodings that answer there, not just the pairs shown.

    Args:
        trials: trial documents, in any order; read only. ``converged`` of None counts as converged.
        baseline: the encoding that was declared beforehand.
        lengths: evaluation lengths, in positions.
        metric: the entry of ``metrics`` that is judged; lower is better.
        margin: of practical equivalence, as a share of the baseline's mean at each length.

    Returns:
        One dict a length and encoding other than the baseline, ordered by length, then by encoding:
        ``baseline encoding metric length n_seeds difference low high p p_adjusted margin detectable
        verdict``. ``difference`` is encoding minus baseline, ``low`` and ``high`` its plain 95 % interval,
        ``margin`` and ``detectable`` (80 % power, a single test at 5 %) are in its unit. None stands for
        what cannot be computed.

    Raises:
        UnknownName: MP104, when no trial has the baseline.
        OptionError: MP105, when the margin is negative or not finite.
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
        comparison
        for length in sorted(set(lengths))
        for comparison in _compare_at(read_scores(trials, length, metric), baseline, metric, margin)
    ]


def _compare_at(scores: Scores, declared: str, metric: str, share: float) -> list[dict[str, Any]]:
    ranked = scores.ranked()
    picked = declared in scores.unanswered and bool(ranked)
    baseline = ranked[0] if picked else declared
    margin = scores.margin(baseline, share)
    names = [name for name in scores.losses if name != baseline]
    pairs = [scores.pair(name, baseline, 0.0 if math.isnan(margin) else margin) for name in names]
    if picked:
        family = scores.adjust_all(ranked)
        adjusted = [family.get(frozenset((name, baseline)), math.nan) for name in names]
    else:
        adjusted = apply_holm([pair.difference.p for pair in pairs]).tolist()
    return [_document(scores, pair, p, metric, margin) for pair, p in zip(pairs, adjusted, strict=True)]


def _document(scores: Scores, pair: Pair, p_adjusted: float, metric: str, margin: float) -> dict[str, Any]:
    undefined = pair.encoding in scores.unanswered
    return {
        "baseline": pair.baseline,
        "encoding": pair.encoding,
        "metric": metric,
        "length": scores.length,
        "n_seeds": pair.difference.n,
        "difference": _number(pair.difference.mean),
        "low": _number(pair.difference.low),
        "high": _number(pair.difference.high),
        "p": _number(pair.difference.p),
        "p_adjusted": _number(p_adjusted),
        "margin": _number(margin),
        "detectable": _number(pair.detectable),
        "verdict": "undefined" if undefined else pair.decide(p_adjusted),
    }


def build_degradations(
    trials: Sequence[Trial],
    lengths: Iterable[int],
    train_length: int,
    *,
    metric: str = "loss",
    margin: float = 0.01,
) -> list[dict[str, Any]]:
    """Hold every encoding at the lengths past the trained one against itself at the trained one.

    Differences are paired within each trial, so they say what the length does to one trained model. An
    encoding may hold and still be the worse one; ``build_comparisons`` says which is better.

    Args:
        trials: trial documents, in any order; read only.
        lengths: evaluation lengths, in positions; those up to ``train_length`` are left out.
        train_length: the length trained at, in positions.
        metric: the entry of ``metrics``; lower is better.
        margin: the rise that still counts as holding, as a share of the mean at the trained length.

    Returns:
        One dict a length and encoding, ordered by length, then by encoding: ``encoding length n_seeds
        difference low high relative holds``. ``difference`` is the mean rise with its plain 95 % interval,
        ``relative`` the rise as a share of the mean at the trained length. ``holds`` is true where the
        whole interval is at most the margin, None below three seeds. None, with 0 seeds, stands where the
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
    trained = read_scores(trials, train_length, metric)
    return [
        _degradation(trained, read_scores(trials, length, metric), name, margin)
        for length in sorted({length for length in lengths if length > train_length})
        for name in trained.losses
    ]


def _degradation(trained: Scores, there: Scores, name: str, margin: float) -> dict[str, Any]:
    seeds = sorted(trained.losses[name].keys() & there.losses[name].keys())
    own = math.fsum(trained.losses[name][seed] for seed in seeds) / max(len(seeds), 1)
    rise = measure_difference([there.losses[name][seed] - trained.losses[name][seed] for seed in seeds])
    judged = len(seeds) >= MIN_SEEDS and not math.isnan(rise.high)
    return {
        "encoding": name,
        "length": there.length,
        "n_seeds": rise.n,
        "difference": _number(rise.mean),
        "low": _number(rise.low),
        "high": _number(rise.high),
        "relative": _number(rise.mean / abs(own)) if own else None,
        "holds": rise.high <= margin * abs(own) if judged else None,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
