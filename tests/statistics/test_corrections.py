"""Corrections against their definitions, and their error rates."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from milepost.errors import DataError
from milepost.statistics import apply_holm, apply_selection

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def rejects(p_values, level):
    """Holm as the paper states it: walk up the sorted p values until one is not small enough."""
    rejected = set()
    ordered = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for step, index in enumerate(ordered):
        if p_values[index] * (len(p_values) - step) > level:
            break
        rejected.add(index)
    return rejected


@given(p_lists, st.floats(0, 1, exclude_max=True))
def test_adjusted_values_reject_what_the_procedure_rejects(p_values, level):
    adjusted = apply_holm(p_values)
    assert {i for i, p in enumerate(adjusted) if p <= level} == rejects(p_values, level)


def test_a_plain_bonferroni_would_not_pass_the_oracle():
    p_values = [0.01, 0.04]
    assert {i for i, p in enumerate(p_values) if 2 * p <= 0.05} != rejects(p_values, 0.05)


@given(p_lists)
def test_adjusted_values_are_never_below_p_never_above_1_and_keep_the_order(p_values):
    adjusted = apply_holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


@given(p_lists, st.floats(0, 1))
def test_one_more_test_never_makes_an_adjusted_value_smaller(p_values, extra):
    assert (apply_holm([*p_values, extra])[:-1] >= apply_holm(p_values)).all()


@given(p_lists, st.integers(0, 7))
def test_a_test_that_could_not_be_made_is_no_member_of_the_family(p_values, at):
    with_gap = [*p_values[:at], math.nan, *p_values[at:]]
    adjusted = apply_holm(with_gap)
    assert np.isnan(adjusted).sum() == 1
    np.testing.assert_array_equal(adjusted[~np.isnan(adjusted)], apply_holm(p_values))


def test_nothing_stays_nothing():
    assert apply_holm([]).shape == (0,)


def test_the_input_is_left_as_it_was():
    p_values = np.array([0.01, 0.02])
    apply_holm(p_values)
    assert p_values.tolist() == [0.01, 0.02]


@pytest.mark.parametrize("bad", [-0.1, 1.1])
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(DataError, match="MP110"):
        apply_holm([0.5, bad])


@given(p_lists, st.floats(0, 1, exclude_max=True))
def test_a_picked_best_is_tested_against_the_pairs_that_are_left(p_values, level):
    left, rejected = ["best", *range(len(p_values))], set()
    for index in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        if p_values[index] * len(list(itertools.combinations(left, 2))) > level:
            break
        left.remove(index)
        rejected.add(index)
    assert {i for i, p in enumerate(apply_selection(p_values)) if p <= level} == rejected


@given(p_lists)
def test_a_picked_best_is_never_judged_more_lightly_than_a_declared_one(p_values):
    assert (apply_selection(p_values) >= apply_holm(p_values)).all()


def test_one_test_alone_and_a_test_that_could_not_be_made():
    assert apply_selection([0.04]).tolist() == [0.04]
    np.testing.assert_array_equal(apply_selection([0.01, math.nan, 0.03]), [0.03, math.nan, 0.03])
    with pytest.raises(DataError, match="MP110"):
        apply_selection([0.5, 1.1])


def false_worse(true, seeds, correct, sweeps=4000):
    """Share of sweeps that call an encoding worse than the one with the lowest mean though it is not."""
    true = np.array(true, dtype=float)
    losses = np.random.default_rng(seeds).normal(true[:, None], 1.0, (sweeps, len(true), seeds))
    best = losses.mean(-1).argmin(1)
    difference = losses - np.take_along_axis(losses, best[:, None, None], 1)
    with np.errstate(invalid="ignore"):
        t = difference.mean(-1) / (difference.std(-1, ddof=1) / math.sqrt(seeds))
    t[np.arange(sweeps), best] = np.nan
    adjusted = np.array([correct(p) for p in 2 * stdtr(seeds - 1, -abs(t))])
    return np.mean(((adjusted < 0.05) & (true <= true[best][:, None])).any(1))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    "true",
    [[0] * 6, [0, 0, 9, 9, 9, 9], [0, 0, 0, 9, 9, 9], [0, 0, 0, 2, 2, 2], [0, 0, 0, 0, 1, 2]],
    ids=["all equal", "two lead", "three lead", "three lead closely", "one by one"],
)
def test_a_picked_best_calls_others_worse_that_are_not_in_at_most_6_of_100(true, seeds):
    assert false_worse(true, seeds, apply_selection) <= 0.06


def test_the_check_of_a_picked_best_sees_rejections_and_fails_holm_over_its_own_tests():
    assert false_worse([0, 0, 9, 9, 9, 9], 5, apply_selection) >= 0.04
    assert false_worse([0] * 6, 5, apply_holm) > 0.07
