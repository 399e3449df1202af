"""Chance levels that ship, and those that are simulated."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from milepost.diagnostics.inspect.measures import measure
from milepost.statistics.chance import shipped_chance, simulate_chance

NAMES = ("reverse_mapping_error", "order_accuracy", "monotonicity", "toeplitz_share", "effective_rank")


def values(table):
    measured = measure(table)
    return {name: measured[name].value for name in NAMES}


def test_a_random_table_of_512_by_768_errs_by_about_174_not_128():
    level = shipped_chance(512, 768)["reverse_mapping_error"]
    assert 170 < level.mean < 180
    assert level.low < level.mean < level.high
    assert level.obtained == "shipped"


@pytest.mark.parametrize(("rows", "dim"), [(64, 128), (90, 300), (200, 50)])
def test_shipped_levels_are_those_of_a_fresh_simulation(rows, dim):
    # on the grid and between its sizes; other tables than the ones that were simulated for it
    shipped, fresh = shipped_chance(rows, dim), simulate_chance(values, rows, dim, draws=20, seed=99)
    assert set(NAMES) <= shipped.keys()
    for name in NAMES:
        spread = (fresh[name].high - fresh[name].low) / (2 * 1.96)
        assert abs(shipped[name].mean - fresh[name].mean) < max(spread, 0.06 * abs(fresh[name].mean)), name


@pytest.mark.parametrize(("rows", "dim"), [(512, 450), (512, 400), (197, 160)])
def test_no_level_is_interpolated_across_the_pole_of_the_regression(rows, dim):
    found = shipped_chance(rows, dim)
    assert "reverse_mapping_error" not in found
    assert "effective_rank" in found


@pytest.mark.parametrize(("rows", "dim"), [(8, 64), (513, 64), (64, 16), (64, 5000), (0, 0)])
def test_sizes_off_the_grid_have_no_level(rows, dim):
    assert shipped_chance(rows, dim) == {}


def test_measures_that_need_more_rows_have_no_level():
    assert "reverse_mapping_error" not in shipped_chance(32, 64)
    assert "order_accuracy" in shipped_chance(32, 64)


def test_a_simulation_repeats_itself_and_leaves_out_what_is_refused():
    def value(table):
        return {"mean": float(table.mean()), "refused": None}

    first, second, other = (simulate_chance(value, 20, 10, seed=seed) for seed in (0, 0, 1))
    assert first == second != other
    assert first.keys() == {"mean"}
    assert first["mean"].high - first["mean"].low == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.5)


def test_the_table_that_ships_is_what_its_script_makes(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "make_chance_levels.py"
    shipped = json.loads(files("milepost.statistics").joinpath("chance_levels.json").read_text("utf-8"))
    out = tmp_path / "levels.json"
    sizes = ["--rows", "16", "32", "--dims", "32", "64", "--draws", str(shipped["draws"])]
    subprocess.run([sys.executable, script, "--out", out, *sizes], check=True)
    made = json.loads(out.read_text("utf-8"))
    assert made["measures"].keys() == shipped["measures"].keys()
    for name, level in made["measures"].items():
        for part in ("mean", "low", "high"):
            expected = [row[:2] for row in shipped["measures"][name][part][:2]]
            assert np.array(level[part], float) == pytest.approx(
                np.array(expected, float), rel=2e-3, abs=1e-4, nan_ok=True
            )
