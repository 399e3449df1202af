"""MP201: where it fires, and where it stays silent."""

from __future__ import annotations

import re

import numpy as np
import pytest


@pytest.mark.parametrize("decayed", [1.0, 0.6])
def test_rows_past_the_trained_length_are_found(cut, look, trained, decayed):
    rows = cut(trained(512, 128), 128, 0.01 * decayed)
    found = look(rows)["MP201"]
    assert found.status == "issue"
    first = int(re.search(r"rows (\d+)\.\.511", found.where)[1])
    assert abs(first - 128) <= 2


def test_the_origin_of_untrained_rows_is_named_when_the_start_is_known(cut, look, trained):
    table = trained(512, 128)
    assert "as initialised (0.01 x" in look(cut(table, 128, 0.01), initial_sd=0.01)["MP201"].got
    assert "shrunk by weight decay" in look(cut(table, 128, 0.006), initial_sd=0.01)["MP201"].got
    assert "of the configured initial" in look(cut(table, 128, 1.0), initial_sd=0.01)["MP201"].got


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dim", [64, 128, 768])
def test_the_edge_of_untrained_rows_is_exact_where_all_norms_are_equal(look, trained, noise, dim, seed):
    drawn = noise(512, dim, seed=seed + 50)
    norms = np.random.default_rng(seed).permutation(np.linalg.norm(drawn, axis=1))
    rows = trained(512, dim, seed=seed)
    rows *= (norms / np.linalg.norm(rows, axis=1))[:, None].astype(np.float32)
    rows[128:] = drawn[128:]
    found = look(rows)["MP201"]
    assert (found.status, found.where) == ("issue", "rows 128..511")
    assert "alike as neighbours" in found.got


def test_order_that_fades_towards_the_end_is_no_edge(look, trained, noise):
    moved = trained(192, 64, initial_sd=0.0)
    moved *= np.r_[np.ones(64), np.linspace(1, 0, 100), np.zeros(28)][:, None].astype(np.float32)
    assert look(moved + noise(192, 64, sd=0.05))["MP201"].status == "cannot_tell"
    moved[64:164] = trained(192, 64, initial_sd=0.0)[64:164]  # the same rows, trained up to the edge
    found = look(moved + noise(192, 64, sd=0.05))["MP201"]
    assert (found.status, found.where) == ("issue", "rows 164..191")


def test_rows_that_a_few_gradients_moved_are_not_called_untrained(look, trained, noise):
    moved = trained(192, 64, initial_sd=0.0)
    moved[164:] = 0
    start = noise(192, 64, sd=0.05)
    assert look(moved + start)["MP201"].where == "rows 164..191"
    moved[164:] = np.float32(0.15) * moved[163]
    assert look(moved + start)["MP201"].status != "issue"


def shrunk(rows, by=0.4):
    """What Adam with an L2 penalty leaves of rows without a gradient: every value is smaller by the same amount."""
    return np.sign(rows) * np.maximum(np.abs(rows) - np.float32(by), 0)


def test_untrained_rows_are_found_by_the_ranks_of_norms_that_overlap(look, noise):
    # rows that were reached shrank a little less; direction and order say nothing
    rows = noise(1001, 128)
    rows = np.concatenate([shrunk(rows[:300], 0.33), shrunk(rows[300:])])
    norms = np.linalg.norm(rows, axis=1)
    assert np.mean(norms[:300] < np.quantile(norms[300:], 0.95)) > 0.5
    found = look(rows)["MP201"]
    assert found.status == "issue"
    assert abs(int(re.match(r"rows (\d+)\.\.1000", found.where)[1]) - 300) <= 25
    assert "rank apart" in found.got
    assert look(shrunk(noise(1001, 128)))["MP201"].status == "cannot_tell"


@pytest.mark.parametrize("end", [0.8, 0.6, 0.3])
@pytest.mark.parametrize(("rows", "dim"), [(512, 768), (128, 64), (512, 64)])
def test_random_rows_whose_norm_falls_gradually_have_no_edge(look, noise, rows, dim, end):
    falling = noise(rows, dim, seed=0) * np.linspace(1, end, rows, dtype=np.float32)[:, None]
    found = look(falling)["MP201"]
    assert found.status == "cannot_tell"
    assert "nothing separates them" in found.got


@pytest.mark.parametrize("draw", ["uniform", "laplace", "shrunk"])
def test_an_untrained_tail_need_not_be_gaussian(look, trained, draw):
    rng = np.random.default_rng(3)
    rows = trained(512, 128)
    tail = {
        "uniform": rng.uniform(-0.02, 0.02, rows[200:].shape),
        "laplace": rng.laplace(0, 0.01, rows[200:].shape),
        "shrunk": shrunk(rng.normal(0, 0.02, rows[200:].shape), 0.01),
    }
    rows[200:] = tail[draw]
    assert look(rows)["MP201"].where == "rows 200..511"


def test_rows_that_start_at_the_norm_of_training_cannot_be_told(look, noise):
    # what training moved is small beside where the rows started
    start = noise(512, 128)
    moved = start.copy()
    moved[:128] += 0.05 * noise(128, 128, seed=2)
    for rows in (start, moved):
        found = look(rows)
        assert {found[code].status for code in ("MP201", "MP202", "MP203")} == {"cannot_tell"}
        assert "--compare" in found["MP201"].fix


def test_norms_that_differ_without_order_are_no_proof_of_training(look, noise):
    spread = np.random.default_rng(0).uniform(0.5, 1.5, (512, 1)).astype(np.float32)
    assert look(noise(512, 64) * spread)["MP201"].status == "cannot_tell"


def test_counts_decide_where_the_table_cannot(look, noise):
    counts = np.r_[np.full(100, 9), np.zeros(28, int)]
    found = look(noise(128, 64), trained_counts=counts)
    assert (found["MP201"].status, found["MP201"].where) == ("issue", "rows 100..127")
    assert look(noise(128, 64), trained_counts=counts + 1)["MP201"].status == "passed"


def test_random_tables_raise_no_alarm_over_training(look, noise):
    alarms = [look(noise(128, 64, seed=seed))["MP201"].status == "issue" for seed in range(60)]
    assert sum(alarms) <= 3
