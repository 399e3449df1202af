"""The paired t interval: known values, honest gaps, and coverage by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from milepost.errors import DataError
from milepost.statistics import measure_difference

REPETITIONS = 4000


def covered(low, high, truth=0.3):
    return np.mean((low <= truth) & (truth <= high))


def draws(seeds, repetitions=REPETITIONS):
    return np.random.default_rng(seeds).normal(0.3, 2.0, (repetitions, seeds))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_the_truth_in_95_of_100_sweeps(seeds):
    intervals = [measure_difference(row) for row in draws(seeds)]
    coverage = covered(np.array([d.low for d in intervals]), np.array([d.high for d in intervals]))
    assert 0.93 <= coverage <= 0.97


def skewed_draws(seeds, own=2.0, baseline=1.0, shape=4.0):
    """Differences of two encodings where now and then a seed trains much worse, in one twice as much as in the other."""
    rng = np.random.default_rng(seeds)
    ours, theirs = ((rng.gamma(shape, 1, (REPETITIONS, seeds)) - shape) / shape**0.5 for _ in range(2))
    return 0.3 + own * ours - baseline * theirs


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_the_truth_in_95_of_100_sweeps_with_skewed_seeds(seeds):
    data = skewed_draws(seeds)
    assert ((data - data.mean()) ** 3).mean() / data.std() ** 3 > 0.5  # skewed it is
    intervals = [measure_difference(row) for row in data]
    coverage = covered(np.array([d.low for d in intervals]), np.array([d.high for d in intervals]))
    assert 0.93 <= coverage <= 0.97


def test_seeds_that_are_far_from_normal_are_not_covered_and_the_check_sees_it():
    intervals = [measure_difference(row) for row in skewed_draws(5, own=1.0, baseline=0.0, shape=1.0)]
    assert covered(np.array([d.low for d in intervals]), np.array([d.high for d in intervals])) < 0.93


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.75), (5, 0.84), (10, 0.90)])
def test_the_coverage_check_fails_a_percentile_bootstrap(seeds, expected):
    # three seeds: the interval is from the least to the greatest, and misses where all lie on one side
    data = draws(seeds, 1500)
    picks = np.random.default_rng(1).integers(0, seeds, (3000, seeds))
    counts = np.stack([(picks == seed).sum(-1) for seed in range(seeds)]) / seeds
    low, high = np.percentile(data @ counts, [2.5, 97.5], axis=1)
    assert covered(low, high) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("seeds", [2, 3, 7])
def test_interval_and_p_are_those_of_scipy(seeds):
    values = np.random.default_rng(seeds).normal(0.1, 1.0, seeds)
    ours, theirs = measure_difference(values), stats.ttest_1samp(values, 0)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high, ours.p) == pytest.approx((interval.low, interval.high, theirs.pvalue))
    assert ours.sd == pytest.approx(np.std(values, ddof=1))


def test_the_interval_excludes_zero_exactly_where_p_is_below_5_percent():
    for row in np.random.default_rng(3).normal(1.0, 1.0, (300, 4)):
        d = measure_difference(row)
        assert (d.p < 0.05) == (d.low > 0 or d.high < 0)


def test_one_seed_gives_a_mean_and_nothing_else():
    d = measure_difference([0.5])
    assert (d.n, d.mean) == (1, 0.5)
    assert all(math.isnan(value) for value in (d.sd, d.low, d.high, d.p))


def test_no_seed_gives_nothing():
    d = measure_difference([])
    assert d.n == 0
    assert math.isnan(d.mean)
    assert math.isnan(d.p)


def test_identical_results_differ_by_exactly_zero():
    d = measure_difference([0.0, 0.0, 0.0])
    assert (d.mean, d.low, d.high, d.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_difference_without_spread_is_not_called_certain():
    d = measure_difference(np.array([1.8, 1.7, 1.9]) - np.array([1.7, 1.6, 1.8]))  # 0.1 up to rounding
    assert d.mean == pytest.approx(0.1)
    assert d.sd == 0.0
    assert math.isnan(d.p)
    assert math.isnan(d.low)


@pytest.mark.parametrize("bad", [[0.1, math.nan], [math.inf, 0.1], [[0.1, 0.2]]])
def test_values_that_are_no_numbers_are_refused_not_dropped(bad):
    with pytest.raises(DataError, match="MP110"):
        measure_difference(bad)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.01, 100))
def test_scaling_the_differences_scales_the_interval_and_keeps_p(values, factor):
    d = measure_difference(values)
    scaled = measure_difference(np.array(values) * factor)
    if not d.sd > 1e-9:  # at the edge of no spread rounding decides
        return
    assert (scaled.mean, scaled.low, scaled.high) == pytest.approx(
        (d.mean * factor, d.low * factor, d.high * factor), rel=1e-6, abs=1e-9
    )
    assert scaled.p == pytest.approx(d.p, rel=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=8), st.randoms())
def test_the_order_of_seeds_does_not_matter(values, random):
    d = measure_difference(values)
    if not d.sd > 1e-9:
        return
    random.shuffle(values)
    shuffled = measure_difference(values)
    assert (shuffled.low, shuffled.high, shuffled.p) == pytest.approx((d.low, d.high, d.p))
