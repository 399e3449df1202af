"""MP202: where it fires, and where it stays silent."""

from __future__ import annotations

import re

import numpy as np
import pytest


def test_a_tail_that_thins_out_is_found(look, trained, noise):
    rows = trained(512, 128, initial_sd=0.0)
    rows[256:] *= np.linspace(1, 0.3, 256, dtype=np.float32)[:, None]
    found = look(rows + noise(512, 128, sd=0.02))["MP202"]
    assert found.status == "tip"
    assert re.match(r"rows \d+\.\.511", found.where)


def norm_courses(rows, rng):
    """Factors by which norms of sound tables vary along their rows."""
    cycles = np.arange(rows) / rows
    waves = sum(np.cos(2 * np.pi * (k * cycles + rng.random())) * rng.normal() / k for k in range(1, 5))
    for size in (0.1, 0.2, 0.3):
        yield f"waves of {size}", 1 + size * waves / np.abs(waves).max()
        yield f"jitter of {size}", 1 + size * rng.uniform(-1, 1, rows)
    for end in (0.8, 0.7, 0.6, 0.5):
        yield f"falls to {end}", np.linspace(1, end, rows)
    yield "as in GPT-2", (1 + 0.55 / np.sqrt(1 + np.arange(rows) / 2)) * np.linspace(1, 0.7, rows)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("initial_sd", [0.005, 0.02, 0.05])
def test_uneven_norms_of_trained_rows_are_no_thin_tail(look, trained, initial_sd, seed):
    table = trained(256, 64, initial_sd=initial_sd, seed=seed)
    for name, course in norm_courses(256, np.random.default_rng(seed)):
        found = look((table * course[:, None]).astype(np.float32))
        assert found["MP202"].status in ("passed", "cannot_tell"), name
        assert found["MP212"].status in ("passed", "cannot_tell"), name


def test_a_tail_that_is_smaller_and_as_alike_cannot_be_told(look, trained):
    found = look(trained(256, 64) * np.linspace(1, 0.5, 256, dtype=np.float32)[:, None])["MP202"]
    assert found.status == "cannot_tell"
    assert "cosine of neighbours" in found.got and "--compare" in found.fix


def thinned(trained, noise, share, at=96, rows=160, dim=64):
    """Rows of equal random starts that training moved, from ``at`` on by ``share`` of the rest."""
    moved = trained(rows, dim, initial_sd=0.0)
    moved[at:] *= np.float32(share)
    return noise(rows, dim, sd=0.03) + moved


def test_a_tail_that_moved_less_is_found_where_starts_hide_it_in_the_norm(look, trained, noise):
    rows = thinned(trained, noise, 0.5)
    norms = np.linalg.norm(rows, axis=1)
    assert np.median(norms[-20:]) > 0.6 * np.median(norms[20:96])
    found = look(rows)["MP202"]
    assert found.status == "tip"
    assert abs(int(re.match(r"rows (\d+)\.\.159", found.where)[1]) - 96) <= 8


def test_a_tail_that_moved_a_little_less_cannot_be_told(look, trained, noise):
    shares = np.linspace(1, 0.5, 11)
    statuses = [look(thinned(trained, noise, share))["MP202"].status for share in shares]
    assert statuses[0] == "passed"
    assert "cannot_tell" in statuses
    assert statuses[-1] == "tip"
    assert statuses == sorted(statuses, key=["passed", "cannot_tell", "tip"].index)


def test_larger_first_rows_are_no_thin_tail(look, trained, noise):
    rows = thinned(trained, noise, 1.0)
    rows[:20] *= 2
    assert look(rows)["MP202"].status == "passed"


def test_a_tail_of_finer_course_is_no_thin_tail(look, trained, noise):
    rows = thinned(trained, noise, 1.0)
    flips = np.where(np.arange(160) % 2, 1, -1)[:, None] * noise(1, 64, sd=0.1)
    rows[128:] += flips[128:]
    assert look(rows)["MP202"].status == "passed"


def test_a_tile_cut_off_midway_is_no_thin_tail(look, trained):
    tile = trained(128, 64) * np.linspace(0.6, 1, 128, dtype=np.float32)[:, None]
    assert look(np.tile(tile, (3, 1))[:320])["MP202"].status == "passed"


def test_counts_name_the_rows_that_were_rare(look, noise):
    counts = np.r_[np.full(90, 100), np.full(38, 9)]
    assert look(noise(128, 64), trained_counts=counts)["MP202"].where == "rows 90..127"
    assert look(noise(128, 64), trained_counts=counts + 5)["MP202"].status == "passed"
