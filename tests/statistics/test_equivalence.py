"""Two one-sided tests: against their interval form, and their error rate."""

import math

import numpy as np
import pytest
from scipy import stats

from milepost.errors import OptionError
from milepost.statistics import measure_difference, measure_equivalence

MARGIN = 0.02


def shown(differences, margin=MARGIN):
    return measure_equivalence(measure_difference(differences), margin) < 0.05


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_true_difference_of_the_margin_is_called_equivalent_in_at_most_5_of_100(seeds):
    data = np.random.default_rng(seeds).normal(MARGIN, 0.008, (4000, seeds))
    rate = np.mean([shown(row) for row in data])
    assert 0.03 <= rate <= 0.06  # at the edge and with this little spread it is 5 %, so it has power too


def test_the_rate_check_fails_the_practice_of_calling_not_significant_equivalent():
    data = np.random.default_rng(5).normal(MARGIN, 0.03, (1000, 3))
    assert np.mean([measure_difference(row).p > 0.05 for row in data]) > 0.5


def test_equivalence_is_the_90_percent_interval_inside_the_margin():
    for row in np.random.default_rng(7).normal(0.01, 0.01, (300, 4)):
        interval = stats.ttest_1samp(row, 0).confidence_interval(0.90)
        assert shown(row) == (interval.low > -MARGIN and interval.high < MARGIN)


def test_p_is_the_larger_of_scipys_two_one_sided_ones():
    row = np.array([0.004, -0.01, 0.012])
    above = stats.ttest_1samp(row, -MARGIN, alternative="greater").pvalue
    below = stats.ttest_1samp(row, MARGIN, alternative="less").pvalue
    assert measure_equivalence(measure_difference(row), MARGIN) == pytest.approx(max(above, below))


def test_inside_the_margin_is_equivalent_even_where_the_interval_excludes_zero():
    differences = [0.0040, 0.0041, 0.0042]
    assert measure_difference(differences).low > 0
    assert shown(differences)


def test_identical_results_are_equivalent_and_a_margin_of_0_claims_nothing():
    assert shown([0.0, 0.0, 0.0])
    assert not shown([0.0, 0.0, 0.0], margin=0.0)


@pytest.mark.parametrize("differences", [[], [0.001], [0.001, 0.001, 0.001]])
def test_without_spread_nothing_is_shown(differences):
    assert math.isnan(measure_equivalence(measure_difference(differences), MARGIN))


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(OptionError, match="MP105"):
        measure_equivalence(measure_difference([0.1, 0.2]), margin)
