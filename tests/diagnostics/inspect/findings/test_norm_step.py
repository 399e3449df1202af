"""MP212: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np
import pytest


def tuned(table, length, grow=0.8, seed=5):
    """The table after fine-tuning on inputs of ``length`` tokens: their rows moved, the last one most."""
    rows = table.copy()
    moved = np.random.default_rng(seed).normal(size=rows.shape[1])
    usual = np.linalg.norm(rows, axis=1).mean()
    rows[:length] = grow * rows[:length] + 1.2 * usual * moved / np.linalg.norm(moved)
    rows[:length] *= (grow * usual / np.linalg.norm(rows[:length], axis=1))[:, None]
    return rows.astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("length", [64, 127, 256])
def test_a_step_in_the_norms_is_found_where_tuning_ended(look, trained, length, seed):
    found = look(tuned(trained(512, 128, initial_sd=0.005, seed=seed), length))["MP212"]
    assert (found.status, found.where) == ("tip", f"row {length}")
    assert "norms change by +" in found.got


def test_a_step_in_norm_alone_or_in_direction_alone_is_no_step(look, trained):
    table = trained(512, 128)
    louder, turned = table.copy(), table.copy()
    louder[200:] *= np.float32(1.2)
    turned[200:] = np.roll(turned[200:], 1, axis=1)
    assert {look(rows)["MP212"].status for rows in (louder, turned)} == {"passed"}


def test_a_step_cannot_be_told_where_neighbours_are_hardly_alike(look, trained):
    found = look(tuned(trained(512, 128, initial_sd=0.08), 200))["MP212"]
    assert found.status == "cannot_tell"
    assert "less alike" in found.got


def test_repeated_rows_have_no_step(look, trained):
    table = trained(128, 64) * np.linspace(1, 2, 128, dtype=np.float32)[:, None]
    assert look(np.repeat(table, 4, axis=0))["MP212"].status == "passed"


def test_the_edge_of_untrained_rows_is_not_told_twice(cut, fired, trained):
    assert fired(cut(trained(512, 128), 128, 0.01)) == {"MP201"}
