"""Corrections against their definitions, and their error rates."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from milepost.errors import DataError
from milepost.statistics import apply_holm, find_holm_levels

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


# the level at which each test was made


@given(p_lists, st.floats(0.001, 0.999))
def test_a_test_is_rejected_at_its_level_exactly_where_its_adjusted_value_is_small(p_values, level):
    levels = find_holm_levels(p_values, level)
    adjusted = apply_holm(p_values)
    clear = abs(adjusted - level) > 1e-9  # at the very edge rounding decides
    np.testing.assert_array_equal((np.array(p_values) < levels)[clear], (adjusted < level)[clear])


def test_levels_rise_until_the_first_that_is_kept_and_stay_there():
    assert find_holm_levels([0.001, 0.04, 0.9, 0.016], 0.06).tolist() == pytest.approx(
        [0.015, 0.03, 0.03, 0.02]
    )
    assert find_holm_levels([0.001, 0.002, 0.003], 0.06).tolist() == pytest.approx([0.02, 0.03, 0.06])
    assert find_holm_levels([0.5, 0.6], 0.06).tolist() == [0.03, 0.03]


def test_the_levels_of_bonferroni_would_not_pass():
    p_values = [0.01, 0.04]
    assert [p < 0.05 / 2 for p in p_values] != (apply_holm(p_values) < 0.05).tolist()


def test_a_test_that_could_not_be_made_has_no_level():
    np.testing.assert_array_equal(find_holm_levels([0.5, math.nan], 0.05), [0.05, math.nan])
    assert find_holm_levels([]).shape == (0,)
    with pytest.raises(DataError, match="MP110"):
        find_holm_levels([0.5, 1.1])


# error rates of all pairs


def false_rejections(true, seeds, correct, sweeps=2000):
    """Share of sweeps that reject a pair of encodings whose true losses are equal."""
    true = np.array(true, dtype=float)
    losses = np.random.default_rng(seeds).normal(true[:, None], 1.0, (sweeps, len(true), seeds))
    one, other = np.array(list(itertools.combinations(range(len(true)), 2))).T
    difference = losses[:, one] - losses[:, other]
    t = difference.mean(-1) / (difference.std(-1, ddof=1) / math.sqrt(seeds))
    adjusted = np.array([correct(p) for p in 2 * stdtr(seeds - 1, -abs(t))])
    return np.mean(((adjusted < 0.05) & (true[one] == true[other])).any(1))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    "true", [[0] * 6, [0, 0, 9, 9, 9, 9], [0, 0, 9, 18, 27, 36], [0, 0, 0, 0, 1, 2]],
    ids=["all equal", "two groups", "two equal in a clear order", "four equal"],
)  # fmt: skip
def test_a_pair_of_equals_is_rejected_in_at_most_6_of_100_sweeps(true, seeds):
    assert false_rejections(true, seeds, apply_holm) <= 0.06


def test_the_check_of_all_pairs_sees_rejections_and_fails_plain_tests():
    assert false_rejections([0, 0, 9, 18, 27, 36], 5, apply_holm) >= 0.02
    assert false_rejections([0] * 6, 5, np.array) > 0.2
