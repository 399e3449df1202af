"""Detectable differences: against simulation and against the power integral."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from milepost.errors import OptionError
from milepost.statistics import measure_detectable, measure_difference, measure_seeds


def power(sd, seeds, difference):
    """Power of the two-sided t test from the density of the observed spread, no noncentral t involved."""
    df, noncentrality = seeds - 1, difference * math.sqrt(seeds) / sd
    critical = stats.t.ppf(0.975, df)

    def rejected(chi):
        bar = critical * chi / math.sqrt(df)
        return stats.chi.pdf(chi, df) * (
            stats.norm.sf(bar - noncentrality) + stats.norm.cdf(-bar - noncentrality)
        )

    return integrate.quad(rejected, 0, math.sqrt(df) + 10, points=[math.sqrt(df)])[0]


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 40])
def test_the_detectable_difference_has_80_percent_power(seeds):
    assert power(0.7, seeds, measure_detectable(0.7, seeds)) == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("seeds", [3, 10])
def test_it_is_found_in_80_of_100_simulated_sweeps(seeds):
    data = np.random.default_rng(seeds).normal(measure_detectable(2.0, seeds), 2.0, (4000, seeds))
    assert np.mean([measure_difference(row).p < 0.05 for row in data]) == pytest.approx(0.8, abs=0.02)


def test_the_power_check_fails_the_normal_approximation():
    approximate = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / math.sqrt(3)
    assert power(1.0, 3, approximate) < 0.5


def test_seeds_needed_are_the_fewest_that_detect():
    for difference in (0.2, 0.5, 1.0, 30.0):
        seeds = measure_seeds(1.0, difference)
        assert measure_detectable(1.0, seeds) <= difference
        assert seeds == 2 or measure_detectable(1.0, seeds - 1) > difference


def test_sign_and_unit_do_not_matter():
    assert measure_seeds(0.01, -0.004) == measure_seeds(10, 4)
    assert measure_detectable(10, 4) == pytest.approx(1000 * measure_detectable(0.01, 4))


@pytest.mark.parametrize(("sd", "seeds"), [(0.0, 3), (math.nan, 3), (1.0, 1), (1.0, 0)])
def test_what_cannot_be_known_is_nan(sd, seeds):
    assert math.isnan(measure_detectable(sd, seeds))


@pytest.mark.parametrize(("sd", "difference"), [(1.0, 0.0), (1.0, 0.001), (0.0, 1.0), (math.nan, 1.0)])
def test_no_number_of_seeds_is_made_up(sd, difference):
    assert measure_seeds(sd, difference) is None


@pytest.mark.parametrize("sd", [-1.0, math.inf])
def test_a_spread_that_is_none_is_refused(sd):
    with pytest.raises(OptionError, match="MP105"):
        measure_detectable(sd, 3)
