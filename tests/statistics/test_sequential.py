"""Looks after every seed: the chance of crossing against simulation, error rates of whole sweeps, honest gaps."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from milepost.errors import DataError, OptionError
from milepost.statistics import SequentialTest, measure_difference, measure_equivalence

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "stopping_rule.py"
SWEEPS = 10_000


def load_script():
    """The script that simulates sweeps for the page on statistics."""
    spec = importlib.util.spec_from_file_location("stopping_rule", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


rule = load_script()
PLAN = rule.PLAN


def scores(data, plan):
    """One-sided scores of every look, from the definition."""
    found = []
    for n in plan.looks:
        t = data[:, :n].mean(1) / (data[:, :n].std(1, ddof=1) / math.sqrt(n))
        found.append(stats.norm.isf(stats.t.sf(t, n - 1)) * (n / plan.looks[-1]) ** 0.25)
    return np.array(found)


# the chance of crossing


@pytest.mark.parametrize("looks", [(2, 3), (3, 5, 10), tuple(range(3, 21))], ids=str)
def test_the_chance_of_crossing_is_that_of_simulated_sweeps(looks):
    plan = SequentialTest(looks)
    best = scores(np.random.default_rng(1).normal(0, 1, (100_000, looks[-1])), plan).max(0)
    for score in (0.3, 1.0, 2.0, 2.3, 3.0):
        simulated = np.mean(best >= score)
        noise = math.sqrt(simulated / len(best))
        assert plan.chance(score) == pytest.approx(simulated, abs=4 * noise, rel=0.002)


def test_the_simulation_would_see_the_boundaries_of_brownian_motion():
    """What is exact for a known spread crosses too often where the spread is estimated from three seeds."""
    data = np.random.default_rng(1).normal(0, 1, (50_000, 20))
    n = np.array(PLAN.looks)
    t = np.array([data[:, :k].mean(1) / (data[:, :k].std(1, ddof=1) / math.sqrt(k)) for k in n])
    z = data.cumsum(1)[:, n - 1].T / np.sqrt(n)[:, None]
    bar = np.quantile((z * ((n / 20) ** 0.25)[:, None]).max(0), 0.975)
    assert np.mean((t * ((n / 20) ** 0.25)[:, None] >= bar).any(0)) > 0.05


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_one_look_is_the_paired_t_test(seeds):
    values = np.random.default_rng(seeds).normal(0.5, 1.0, seeds)
    found, plain = SequentialTest((seeds,)).measure(values, margin=1.0), measure_difference(values)
    for field in ("n", "mean", "sd", "low", "high", "p"):
        assert getattr(found.difference, field) == pytest.approx(getattr(plain, field), rel=1e-4)
    if found.equivalence < 0.5:
        assert found.equivalence == pytest.approx(measure_equivalence(plain, 1.0), rel=1e-4)


def test_more_looks_cross_more_often():
    chances = [SequentialTest(looks).chance(2.0) for looks in ((6,), (4, 6), (3, 4, 5, 6))]
    assert chances[0] < chances[1] < chances[2]


# what is measured


def test_a_look_is_judged_by_its_own_seeds():
    clear = [-0.11, -0.10, -0.13, -0.11, -0.12, -0.11]
    early, late = (
        PLAN.measure(values, margin=0.02).difference for values in (clear, [*clear, -0.9, 0.5, -0.3])
    )
    assert early.p < 0.05 and early.high < 0
    assert late.p > 0.05 and late.low < 0 < late.high


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=3, max_size=8),
    st.sampled_from([0.05, 0.01, 0.05 / 15]),
)
def test_an_interval_excludes_zero_exactly_where_p_is_below_its_level(values, level):
    found = PLAN.measure([value + 0.5 for value in values], margin=0.1).difference
    if not math.isnan(found.p) and found.sd > 1e-6 and abs(found.p - level) > 1e-6:
        low, high = PLAN.measure_interval(found, level)
        assert (low > 0 or high < 0) == (found.p < level)


def test_seeds_between_two_looks_wait_for_the_next():
    plan = SequentialTest((3, 6))
    values = [0.2, 0.3, 0.1, 0.9, 0.8]
    assert plan.measure(values, margin=0.1) == plan.measure(values[:3], margin=0.1)


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2]])
def test_before_the_first_look_there_is_a_mean_and_nothing_else(values):
    found = PLAN.measure(values, margin=0.1)
    assert found.difference.n == len(values)
    assert all(math.isnan(v) for v in (found.difference.p, found.difference.low, found.equivalence))
    assert math.isnan(found.difference.sd)  # equal differences decide nothing before the first look


def test_identical_results_are_equivalent_and_equal_differences_are_not_called_certain():
    same = PLAN.measure([0.0] * 5, margin=0.01)
    assert (same.difference.p, same.difference.low, same.difference.high) == (1.0, 0.0, 0.0)
    assert same.equivalence < 1e-6
    shifted = PLAN.measure([0.1] * 5, margin=0.01)
    assert shifted.difference.constant and not same.difference.constant
    assert math.isnan(shifted.difference.p)
    assert math.isnan(shifted.difference.low)
    assert math.isnan(shifted.equivalence)


@settings(max_examples=50)
@given(  # in millionths: squares of numbers near 1e-160 are no numbers any more
    st.lists(st.floats(-1, 1).map(lambda value: round(value, 6)), min_size=3, max_size=8),
    st.sampled_from([-1.0, 0.25, 64.0]),
)
def test_scale_and_sign_of_the_metric_do_not_matter(values, factor):
    found = PLAN.measure(values, margin=0.5)
    scaled = PLAN.measure([factor * v for v in values], margin=abs(factor) * 0.5)
    assert scaled.difference.p == pytest.approx(found.difference.p, nan_ok=True)
    assert scaled.equivalence == pytest.approx(found.equivalence, nan_ok=True)
    ends = sorted((factor * found.difference.low, factor * found.difference.high))
    assert [scaled.difference.low, scaled.difference.high] == pytest.approx(ends, nan_ok=True)


@pytest.mark.parametrize("looks", [(), (1, 2), (3, 3), (5, 4)])
def test_looks_that_do_not_rise_are_refused(looks):
    with pytest.raises(OptionError, match="MP105"):
        SequentialTest(looks)


def test_a_plan_that_ends_before_its_first_look_is_refused():
    with pytest.raises(OptionError, match="MP105"):
        SequentialTest.up_to(2)


def test_more_seeds_than_planned_and_values_that_are_no_numbers_are_refused():
    with pytest.raises(OptionError, match="more seeds than the plan has"):
        SequentialTest.up_to(4).measure([0.1, 0.2, 0.3, 0.4, 0.5], margin=0.1)
    with pytest.raises(DataError, match="MP110"):
        PLAN.measure([0.1, math.nan, 0.2], margin=0.1)


# error rates of sweeps of six encodings that stop when all are decided


def test_the_simulated_rule_is_the_one_that_ships():
    data = rule.draw([0.0, 1.0, -3.0], rule.normal, 5, 20, seed=3)
    mean, p, equivalence = rule.p_by_look(data, PLAN, 1.5)
    for sweep, encoding in np.ndindex(data.shape[:2]):
        for look in (0, 4, 17):
            found = PLAN.measure(data[sweep, encoding, : PLAN.looks[look]], margin=1.5)
            assert found.difference.mean == pytest.approx(mean[sweep, encoding, look])
            assert found.difference.p == pytest.approx(p[sweep, encoding, look])
            assert found.equivalence == pytest.approx(equivalence[sweep, encoding, look])


def test_false_winners_appear_at_any_of_18_looks_in_at_most_6_of_100_null_sweeps():
    false = rule.simulate([0.0] * 5, margin=0.0, sweeps=SWEEPS).false_claims().mean()
    assert 0.02 <= false <= 0.055  # and it is no rule that never decides


@pytest.mark.parametrize("true", [[1.5, 1.5, -1.5, 1.5, -1.5], [0.0, 0.0, 0.0, 1.5, 1.5]])
def test_a_difference_of_the_margin_is_called_equivalent_at_any_look_in_at_most_6_of_100_sweeps(true):
    outcome = rule.simulate(true, margin=1.5, sweeps=SWEEPS)
    assert 0.01 <= outcome.false_equivalence().mean() <= 0.055
    assert (outcome.false_claims() | outcome.false_equivalence()).mean() <= 0.06


def test_the_check_fails_a_plain_test_after_every_seed():
    data = rule.draw([0.0] * 5, rule.normal, 2000, 20, seed=0)
    p = [stats.ttest_1samp(data[..., :n], 0, axis=-1).pvalue for n in PLAN.looks]
    assert np.mean((np.array([rule.holm(values) for values in p]) < 0.05).any((0, 2))) > 0.1


def test_a_clear_order_is_decided_by_less_than_half_of_the_seeds():
    outcome = rule.simulate([-4.0, -3.0, 3.0, 4.0, 5.0], margin=0.5, sweeps=2000)
    assert (outcome.final == [rule.BELOW, rule.BELOW, rule.ABOVE, rule.ABOVE, rule.ABOVE]).all(
        1
    ).mean() > 0.99
    assert outcome.seeds.mean() < 9


def test_equal_encodings_are_shown_to_be_so_before_the_last_seed():
    outcome = rule.simulate([0.0] * 5, margin=1.5, sweeps=2000)
    assert (outcome.final == rule.EQUIVALENT).mean() > 0.95
    assert outcome.seeds.mean() < 15


def test_the_intervals_of_all_looks_cover_the_truth_together():
    data = np.random.default_rng(2).normal(0.3, 2.0, (400, 20))
    missed = 0
    for row in data:
        found = [PLAN.measure(row[:n], margin=0.0).difference for n in (3, 4, 5, 7, 10, 14, 20)]
        missed += any(not d.low <= 0.3 <= d.high for d in found)
    assert missed / len(data) <= 0.06


def test_plain_intervals_do_not():
    data = np.random.default_rng(2).normal(0.3, 2.0, (400, 20))
    found = [[measure_difference(row[:n]) for n in (3, 4, 5, 7, 10, 14, 20)] for row in data]
    assert np.mean([any(not d.low <= 0.3 <= d.high for d in looks) for looks in found]) > 0.1
