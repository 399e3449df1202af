"""Holm's correction against its definition, and its error rate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import DataError
from milepost.statistics import apply_holm

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
