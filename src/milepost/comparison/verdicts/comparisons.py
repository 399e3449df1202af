"""From the trials of a sweep to verdicts: each encoding against the baseline, and against itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from milepost.comparison.verdicts.pairs import ComparisonFamily
from milepost.comparison.verdicts.scores import MIN_SEEDS, Criterion, Scores, Trial, read_scores
from milepost.statistics import measure_difference, or_none


def build_comparisons(families: Iterable[ComparisonFamily]) -> list[dict[str, Any]]:
    """Describe every encoding against the baseline at every length.

    The first line that applies gives the verdict:

    ==========================  ===============================================================================
    verdict                     when
    ==========================  ===============================================================================
    undefined                   one of the two has no answer at this length
    not_converged               a trial of these seeds, on either side, did not converge, or any trial diverged
    too_few_seeds               fewer than three seeds finished in both encodings
    equivalent                  two one-sided t tests put the difference inside the margin at 5 % (even where
                                the interval excludes zero: real, but too small to matter), or it is the same
                                at every seed and inside the margin
    constant_better,            the difference is the same at every seed: there is no spread to test it with
    constant_worse
    better, worse               the adjusted p is below 0.05
    undecided                   otherwise: no difference shown, none excluded
    ==========================  ===============================================================================

    ``not_robust`` replaces better, worse (constant or not) and equivalent where another setting that was tried
    gives another verdict.

    The encodings at one length make one family: all their pairs, corrected by Holm's step-down method. At most 5 %
    of sweeps without any true difference hold a false *better* or *worse* at one length, in any pair. Seeds are
    paired; a trial that failed or is missing takes its seed out of its pairs and nothing else. Where the declared
    baseline has no answer, the best encoding that answers takes its place and is named as ``baseline``.

    With ``sequential`` the number of seeds may depend on the results: p, intervals and equivalence then hold
    at every look together, and equivalence is adjusted over the family as p is.

    Args:
        families: from ``build_family``, one per length.

    Returns:
        One dict per length and encoding other than the baseline, in the order of the families, then by encoding:
        ``baseline encoding metric better length n_seeds difference low high low_adjusted high_adjusted family p
        p_adjusted margin detectable verdict unconverged``, and ``flips`` where the verdict is *not_robust*.
        ``better`` is ``lower`` or ``higher``, ``difference`` is encoding minus baseline. ``low`` and ``high`` are
        its plain 95 % interval; ``low_adjusted`` and ``high_adjusted`` use the level at which Holm's method tested
        the pair, so they exclude 0 exactly where ``p_adjusted`` is below 0.05. ``margin`` and ``detectable`` (80 %
        power, a single test at 5 %) are in the metric's unit. ``p`` is None for a constant difference. None stands
        for what cannot be computed.

    Source: paired t (Student 1908), Holm 1979, two one-sided tests (Schuirmann 1987). Differs: equivalence
    is asked first, so a tiny difference is never called better however many seeds show it.

    >>> from milepost.comparison.verdicts.pairs import build_family
    >>> losses = {"learned": (1.85, 1.83, 1.88), "rotary": (1.70, 1.69, 1.71)}
    >>> trials = [{"encoding": name, "seed": seed, "status": "done", "metrics": {"32": {"loss": value}}}
    ...           for name, values in losses.items() for seed, value in enumerate(values)]
    >>> [c] = build_comparisons([build_family(trials, 32, "learned", Criterion())])
    >>> f"{c['encoding']}: {c['difference']:.3f} [{c['low_adjusted']:.3f}, {c['high_adjusted']:.3f}], {c['verdict']}"
    'rotary: -0.153 [-0.191, -0.115], better'
    """
    return [
        describe_pair(family, name)
        for family in families
        for name in family.scores.values
        if name != family.baseline
    ]


def describe_pair(family: ComparisonFamily, encoding: str) -> dict[str, Any]:
    """One encoding against the baseline of its family, as documents hold it."""
    criterion = family.scores.criterion
    return {
        "baseline": family.baseline,
        "encoding": encoding,
        "metric": criterion.metric,
        "better": "higher" if criterion.higher_is_better else "lower",
        "length": family.scores.length,
        **family.pair(encoding, family.baseline).describe(),
    }


def build_degradations(
    trials: Sequence[Trial],
    lengths: Iterable[int],
    train_length: int,
    criterion: Criterion,
) -> list[dict[str, Any]]:
    """Compare every encoding at the lengths past the trained one with itself at the trained one.

    Differences are paired within each trial, so they say what the length does to one trained model. An
    encoding may hold and still be the worse one; ``build_comparisons`` says which is better.

    Args:
        trials: trial documents, in any order; read only.
        lengths: evaluation lengths, in positions; those up to ``train_length`` are left out.
        train_length: the length trained at, in positions.
        criterion: what is compared. Its margin is the loss of quality (a rise, or a drop where higher is better) that
            still counts as holding.

    Returns:
        One dict per length and encoding, ordered by length, then by encoding: ``encoding length n_seeds
        difference low high relative holds``. ``difference`` is the mean change, a rise above 0, with its plain 95 %
        interval, ``relative`` the same as a share of the mean at the trained length. ``holds`` is true where
        the whole interval gets worse by at most the margin; None below three seeds, and where training did not
        converge. None, with 0 seeds, stands where the encoding has no answer.

    Raises:
        DataError: MP110, when a seed of an encoding is there twice.

    Source: paired t (Student 1908); no correction, each line is its own statement.

    >>> trials = [{"encoding": "rotary", "seed": seed, "status": "done",
    ...            "metrics": {"32": {"loss": short}, "128": {"loss": long}}}
    ...           for seed, (short, long) in enumerate([(1.70, 2.70), (1.69, 2.69), (1.71, 2.75)])]
    >>> [d] = build_degradations(trials, [16, 32, 128], 32, Criterion())
    >>> f"{d['relative']:.0%} [{d['low']:.2f}, {d['high']:.2f}] holds: {d['holds']}"
    '60% [0.96, 1.07] holds: False'
    """
    trained = read_scores(trials, train_length, criterion)
    return [
        _degradation(trained, read_scores(trials, length, criterion), name)
        for length in sorted({length for length in lengths if length > train_length})
        for name in trained.values
    ]


def _degradation(trained: Scores, there: Scores, name: str) -> dict[str, Any]:
    ours, before, criterion = there.values[name], trained.values[name], trained.criterion
    seeds = sorted(ours.keys() & before.keys())
    own = math.fsum(before[seed] for seed in seeds) / max(len(seeds), 1)
    change = measure_difference([ours[seed] - before[seed] for seed in seeds])
    low, high = (change.mean, change.mean) if change.constant else (change.low, change.high)
    judged = len(seeds) >= MIN_SEEDS and not there.failing(name, seeds)
    worst = -low if criterion.higher_is_better else high
    return {
        "encoding": name,
        "length": there.length,
        "n_seeds": change.n,
        "difference": or_none(change.mean),
        "low": or_none(change.low),
        "high": or_none(change.high),
        "relative": or_none(change.mean / abs(own)) if own else None,
        "holds": worst <= criterion.margin_at(own) if judged else None,
    }
