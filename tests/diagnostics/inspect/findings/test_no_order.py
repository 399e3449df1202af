"""MP211: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings import Facts, check_table
from milepost.diagnostics.inspect.measures import measure
from milepost.statistics.chance import shipped_chance


def look_at_order(rows):
    """MP211, with the measures and the chance levels that ship."""
    values = {name: found.value for name, found in measure(rows).items()}
    facts = Facts(rows, values=values, chance=shipped_chance(*rows.shape))
    return next(found for found in check_table(facts) if found.code == "MP211")


def test_random_rows_have_no_order_and_ordered_rows_have(cut, noise, sinusoid, trained):
    assert look_at_order(noise(128, 64)).status == "tip"
    for table in (sinusoid(128, 64).astype(np.float32), trained(128, 64), cut(trained(512, 64), 128, 0.01)):
        assert look_at_order(table).status == "passed"


def test_random_rows_seldom_pass_for_ordered(noise):
    passed = [look_at_order(noise(64, 32, seed=seed)).status == "passed" for seed in range(40)]
    assert sum(passed) <= 2


def test_without_chance_levels_order_cannot_be_told(noise):
    found = look_at_order(noise(20, 8))
    assert found.status == "cannot_tell"
    assert "--chance" in found.fix
