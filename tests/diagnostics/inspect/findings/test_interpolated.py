"""MP209: where it fires, and where it stays silent."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

STRETCHES = {"MP206", "MP209"}


def stretch(table, length, kind):
    at = np.linspace(0, len(table) - 1, length)
    if kind == "cubic":
        return CubicSpline(np.arange(len(table)), table)(at).astype(np.float32)
    left = np.minimum(at.astype(int), len(table) - 2)
    share = (at - left)[:, None].astype(np.float32)
    return table[left] * (1 - share) + table[left + 1] * share


@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize("ratio", [1.25, 1.5, 2, 3, 4, 8])
@pytest.mark.parametrize("dim", [32, 64, 384])
def test_a_stretched_table_is_found_with_its_ratio(look, trained, dim, ratio, kind):
    found = look(stretch(trained(128, dim), round(128 * ratio), kind))["MP209"]
    assert found.status == "issue"
    said = re.match(r"(.*) stretch by about ([\d.]+):", found.got)
    assert float(said[2]) == pytest.approx(ratio, rel=0.12)
    if ratio >= 2:
        assert said[1] == {"linear": "linear", "cubic": "smooth"}[kind]


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_stretch_survives_rounding_to_half_precision(look, trained, dtype):
    rows = stretch(trained(128, 384), 512, "linear")
    if dtype == "F16":
        rows = rows.astype(np.float16).astype(np.float32)
    else:
        rows = (rows.view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32)
    assert look(rows, dtype=dtype)["MP209"].status == "issue"


def test_repeated_rows_are_a_stretch_too(fired, look, trained):
    rows = np.repeat(trained(128, 64), 4, axis=0)
    assert fired(rows) == STRETCHES
    assert look(rows)["MP209"].got.startswith("nearest stretch by about 4")


@pytest.mark.parametrize("rows", [8, 16, 512])
def test_blocks_of_equal_rows_are_no_stretch(look, trained, rows):
    some = trained(512, 64)[:rows]
    for blocks in ([0 * some], [0 * some + 1], [some[: rows // 2], 0 * some[rows // 2 :]], [some[:1]] * rows):
        assert look(np.concatenate(blocks))["MP209"].status in ("passed", "cannot_tell", "not_applicable")
    two = np.concatenate([np.repeat(some[:1], rows // 2, 0), np.repeat(some[1:2], rows // 2, 0)])
    assert look(two)["MP209"].status != "issue"


@pytest.mark.parametrize("dim", [32, 64, 128, 384, 768])
def test_a_sinusoid_is_smooth_but_no_stretch(look, sinusoid, dim):
    assert look(sinusoid(512, dim).astype(np.float32))["MP209"].status == "passed"


def test_a_table_of_low_rank_is_no_stretch(look, trained):
    rows = trained(512, 8) @ np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    assert look(rows)["MP209"].status == "passed"


def test_a_stretch_cannot_be_told_in_eight_bits(look, trained):
    assert look(trained(64, 64), dtype="F8_E4M3")["MP209"].status == "cannot_tell"
