"""All checks of a table together."""

from __future__ import annotations

import numpy as np
import pytest

from milepost.diagnostics.inspect.findings import CHECKS


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dim", [64, 256])
def test_a_trained_table_has_no_fault(fired, trained, dim, seed):
    assert fired(trained(512, dim, seed=seed)) == set()


def test_image_tables_and_fixed_sinusoids_are_spared_the_checks_of_text(look, sinusoid):
    table = sinusoid(128, 64).astype(np.float32)
    for kind, codes in {
        "patches": ("MP201", "MP203", "MP209", "MP212"),
        "fixed_sinusoid": ("MP201", "MP202", "MP203", "MP209", "MP212"),
    }.items():
        found = look(table, kind=kind)
        assert {found[code].status for code in codes} == {"not_applicable"}


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (2, 3), (9, 1), (20, 2), (70, 1)])
@pytest.mark.parametrize("value", ["zeros", "ones", "random", "huge"])
def test_odd_shapes_and_values_get_an_answer(look, shape, value):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows = {"zeros": rows * 0, "ones": rows * 0 + 1, "random": rows, "huge": rows * np.float32(1e37)}[value]
    assert set(look(rows)) == set(CHECKS)
