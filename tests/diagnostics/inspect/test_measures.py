"""Measures against slow oracles, scikit-learn and published reference values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from milepost.diagnostics.inspect.measures import MINIMUM_ROWS, measure, nearest_rows
from milepost.diagnostics.inspect.measures.mapping import centred_eigen, reverse_mapping_error
from milepost.diagnostics.inspect.measures.similarity import (
    cosines,
    monotonicity,
    order_accuracy,
    toeplitz_share,
)
from milepost.diagnostics.inspect.measures.spectrum import energy_by_frequency


def ours(table, draws):
    gram = table.astype(float) @ table.astype(float).T
    return reverse_mapping_error(gram, centred_eigen(gram), draws=draws)


def theirs(table, draws):
    """Wang & Chen's procedure with scikit-learn, on the same shuffles."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(draws):
        position = rng.permutation(len(table))
        predicted = cross_val_predict(LinearRegression(), table[position], position, cv=KFold(5))
        errors.append(np.abs(np.round(predicted) - position).mean())
    return np.mean(errors)


@pytest.mark.parametrize(
    ("rows", "dim"),
    [(100, 20), (100, 79), (100, 85), (100, 99), (100, 100), (100, 300), (65, 64), (128, 96)],
    ids=lambda size: str(size),
)
def test_reverse_mapping_is_scikit_learns_in_every_regime(rows, dim):
    # fewer, as many and more dimensions than training rows (80), and than all rows
    table = np.random.default_rng(rows + dim).normal(size=(rows, dim))
    assert ours(table, 4) == pytest.approx(theirs(table, 4), abs=0.05)


def test_reverse_mapping_of_repeated_rows_is_scikit_learns():
    # some folds hold every copy of a row, so the rest lacks a direction
    table = np.tile(np.random.default_rng(0).normal(size=(30, 90)), (4, 1))
    assert ours(table, 4) == pytest.approx(theirs(table, 4), abs=0.05)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_a_sinusoid_is_read_back_exactly(sinusoid, dtype):
    assert measure(sinusoid(512, 768).astype(dtype))["reverse_mapping_error"].value == 0


def test_a_random_table_is_read_back_worse_than_a_constant_guess(noise):
    assert 165 < measure(noise(512, 768))["reverse_mapping_error"].value < 185


@pytest.mark.parametrize(
    ("name", "sinusoids", "randoms"),
    [
        ("participation_ratio", (24.0, 24.2), (304, 308)),
        ("effective_rank", (59.0, 59.2), (363, 367)),
        ("toeplitz_share", (1 - 1e-6, 1), (0.003, 0.005)),
        ("order_accuracy", (1, 1), (0, 0.02)),
        ("low_frequency_share", (0.6, 0.8), (0.055, 0.07)),
        ("monotonicity", (0.9, 1), (-0.02, 0.02)),
    ],
)
def test_reference_values_of_a_sinusoid_and_a_random_table(sinusoid, noise, name, sinusoids, randoms):
    for table, (low, high) in ((sinusoid(512, 768), sinusoids), (noise(512, 768), randoms)):
        assert low <= measure(table)[name].value <= high


def test_similarity_measures_equal_their_definitions():
    table = np.random.default_rng(3).normal(size=(30, 7)).cumsum(axis=0)
    gram = table @ table.T
    n = len(table)
    cosine = cosines(gram)
    assert cosine[2, 5] == pytest.approx(
        table[2] @ table[5] / np.linalg.norm(table[2]) / np.linalg.norm(table[5])
    )

    distances = np.linalg.norm(table[:, None] - table, axis=2) + np.diag([np.inf] * n)
    nearest = distances.argmin(axis=1)
    assert nearest_rows(gram).tolist() == nearest.tolist()
    assert order_accuracy(gram) == np.mean(np.abs(nearest - np.arange(n)) == 1)

    correlations = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        correlations.append(spearmanr([-abs(i - j) for j in others], cosine[i, others]).statistic)
    assert monotonicity(gram) == pytest.approx(np.mean(correlations))

    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    means = {k: np.mean([gram[i, i + k] for i in range(n - k)]) for k in range(1, n)}
    every = np.array([gram[pair] for pair in pairs])
    within = sum((gram[i, j] - means[abs(i - j)]) ** 2 for i, j in pairs)
    assert toeplitz_share(gram) == pytest.approx(1 - within / np.square(every - every.mean()).sum())


@pytest.mark.parametrize("rows", [64, 65])
def test_energies_by_frequency_are_shares_of_the_variance(rows):
    table = np.random.default_rng(0).normal(size=(rows, 5))
    position = np.arange(rows)
    centred = table - table.mean(axis=0)
    for cycles in (1, 7, rows // 2):
        waves = [wave(2 * np.pi * cycles * position / rows) for wave in (np.cos, np.sin)]
        # at the highest frequency of an even length the sine is rounding
        waves = [wave / np.linalg.norm(wave) for wave in waves if np.linalg.norm(wave) > 1e-6]
        share = sum(np.square(wave @ centred).sum() for wave in waves) / np.square(centred).sum()
        assert energy_by_frequency(table)[cycles - 1] == pytest.approx(share)


def test_scale_and_rotation_change_no_measure_but_the_norms(trained):
    table = trained(128, 16).astype(float)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    before, after = measure(table), measure(table @ turn * 1e-30)
    for name in set(MINIMUM_ROWS) - {"norm_mean", "norm_sd"}:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-6, abs=1e-9), name
    assert after["norm_mean"].value == pytest.approx(before["norm_mean"].value * 1e-30)


def test_the_order_of_rows_matters_to_the_measures_of_order_alone(trained):
    table = trained(128, 32)
    before, after = measure(table), measure(table[np.random.default_rng(0).permutation(128)])
    assert after["effective_rank"].value == pytest.approx(before["effective_rank"].value)
    assert after["order_accuracy"].value < before["order_accuracy"].value / 4
    assert after["reverse_mapping_error"].value > before["reverse_mapping_error"].value + 5


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 63])
def test_too_few_rows_are_refused_with_both_numbers(noise, rows):
    measured = measure(noise(rows, 8))
    assert measured["reverse_mapping_error"].value is None
    assert measured["reverse_mapping_error"].reason == f"needs at least 64 rows, there are {rows}"
    for name, least in MINIMUM_ROWS.items():
        assert (measured[name].value is None) == (rows < least), name


def test_equal_rows_and_values_that_are_not_finite_are_refused():
    equal = measure(np.ones((70, 4), np.float32))
    assert equal["norm_mean"].value == 2
    for name in (
        "reverse_mapping_error",
        "effective_rank",
        "toeplitz_share",
        "order_accuracy",
        "first_norm_z",
    ):
        assert equal[name].value is None
        assert equal[name].reason
    broken = np.ones((70, 4))
    broken[3, 1] = np.nan
    assert {found.value for found in measure(broken).values()} == {None}


def test_long_tables_cost_no_more_than_512_rows(trained):
    table = trained(600, 16)
    assert measure(table)["toeplitz_share"] == measure(table[:512])["toeplitz_share"]
    assert measure(table)["norm_mean"] != measure(table[:512])["norm_mean"]
