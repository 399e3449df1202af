"""Each finding: tables where it fires, tables where it stays silent, tables where it cannot tell."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from milepost.diagnostics.inspect.findings import CHECKS, Facts, check_table
from milepost.diagnostics.inspect.measures import measure
from milepost.statistics.chance import shipped_chance

STRETCHES = {"MP206", "MP209"}


def look(rows, **options):
    """Findings by code, without measures."""
    return {found.code: found for found in check_table(Facts(rows, **options))}


def look_at_order(rows):
    """MP211, with the measures and the chance levels that ship."""
    values = {name: found.value for name, found in measure(rows).items()}
    return look(rows, values=values, chance=shipped_chance(*rows.shape))["MP211"]


def fired(rows, **options):
    return {code for code, found in look(rows, **options).items() if found.status in ("issue", "tip")}


def cut(table, at, sd, seed=7):
    """The table with rows from ``at`` on as they are drawn at the start."""
    rows = table.copy()
    rows[at:] = sd * np.random.default_rng(seed).normal(size=rows[at:].shape)
    return rows


def stretch(table, length, kind):
    at = np.linspace(0, len(table) - 1, length)
    if kind == "cubic":
        return CubicSpline(np.arange(len(table)), table)(at).astype(np.float32)
    left = np.minimum(at.astype(int), len(table) - 2)
    share = (at - left)[:, None].astype(np.float32)
    return table[left] * (1 - share) + table[left + 1] * share


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dim", [64, 256])
def test_a_trained_table_has_no_fault(trained, dim, seed):
    assert fired(trained(512, dim, seed=seed)) == set()


# MP201


@pytest.mark.parametrize("decayed", [1.0, 0.6])
def test_rows_past_the_trained_length_are_found(trained, decayed):
    rows = cut(trained(512, 128), 128, 0.01 * decayed)
    found = look(rows)["MP201"]
    assert found.status == "issue"
    first = int(re.search(r"rows (\d+)\.\.511", found.where)[1])
    assert abs(first - 128) <= 2


def test_the_origin_of_untrained_rows_is_named_when_the_start_is_known(trained):
    table = trained(512, 128)
    assert "as initialised (0.01 x" in look(cut(table, 128, 0.01), initial_sd=0.01)["MP201"].got
    assert "shrunk by weight decay" in look(cut(table, 128, 0.006), initial_sd=0.01)["MP201"].got
    assert "of the configured initial" in look(cut(table, 128, 1.0), initial_sd=0.01)["MP201"].got


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dim", [64, 128, 768])
def test_the_edge_of_untrained_rows_is_exact_where_all_norms_are_equal(trained, noise, dim, seed):
    drawn = noise(512, dim, seed=seed + 50)
    norms = np.random.default_rng(seed).permutation(np.linalg.norm(drawn, axis=1))
    rows = trained(512, dim, seed=seed)
    rows *= (norms / np.linalg.norm(rows, axis=1))[:, None].astype(np.float32)
    rows[128:] = drawn[128:]
    found = look(rows)["MP201"]
    assert (found.status, found.where) == ("issue", "rows 128..511")
    assert "alike as neighbours" in found.got


def test_order_that_fades_towards_the_end_is_no_edge(trained, noise):
    moved = trained(192, 64, initial_sd=0.0)
    moved *= np.r_[np.ones(64), np.linspace(1, 0, 100), np.zeros(28)][:, None].astype(np.float32)
    assert look(moved + noise(192, 64, sd=0.05))["MP201"].status == "cannot_tell"
    moved[64:164] = trained(192, 64, initial_sd=0.0)[64:164]  # the same rows, trained up to the edge
    found = look(moved + noise(192, 64, sd=0.05))["MP201"]
    assert (found.status, found.where) == ("issue", "rows 164..191")


def test_rows_that_a_few_gradients_moved_are_not_called_untrained(trained, noise):
    moved = trained(192, 64, initial_sd=0.0)
    moved[164:] = 0
    start = noise(192, 64, sd=0.05)
    assert look(moved + start)["MP201"].where == "rows 164..191"
    moved[164:] = np.float32(0.15) * moved[163]
    assert look(moved + start)["MP201"].status != "issue"


def shrunk(rows, by=0.4):
    """What Adam with an L2 penalty leaves of rows without a gradient: every value is smaller by the same amount."""
    return np.sign(rows) * np.maximum(np.abs(rows) - np.float32(by), 0)


def test_untrained_rows_are_found_by_the_ranks_of_norms_that_overlap(noise):
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
def test_random_rows_whose_norm_falls_gradually_have_no_edge(noise, rows, dim, end):
    falling = noise(rows, dim, seed=0) * np.linspace(1, end, rows, dtype=np.float32)[:, None]
    found = look(falling)["MP201"]
    assert found.status == "cannot_tell"
    assert "nothing separates them" in found.got


@pytest.mark.parametrize("draw", ["uniform", "laplace", "shrunk"])
def test_an_untrained_tail_need_not_be_gaussian(trained, draw):
    rng = np.random.default_rng(3)
    rows = trained(512, 128)
    tail = {
        "uniform": rng.uniform(-0.02, 0.02, rows[200:].shape),
        "laplace": rng.laplace(0, 0.01, rows[200:].shape),
        "shrunk": shrunk(rng.normal(0, 0.02, rows[200:].shape), 0.01),
    }
    rows[200:] = tail[draw]
    assert look(rows)["MP201"].where == "rows 200..511"


def test_rows_that_start_at_the_norm_of_training_cannot_be_told(noise):
    # what training moved is small beside where the rows started
    start = noise(512, 128)
    moved = start.copy()
    moved[:128] += 0.05 * noise(128, 128, seed=2)
    for rows in (start, moved):
        found = look(rows)
        assert {found[code].status for code in ("MP201", "MP202", "MP203")} == {"cannot_tell"}
        assert "--compare" in found["MP201"].fix


def test_norms_that_differ_without_order_are_no_proof_of_training(noise):
    spread = np.random.default_rng(0).uniform(0.5, 1.5, (512, 1)).astype(np.float32)
    assert look(noise(512, 64) * spread)["MP201"].status == "cannot_tell"


def test_counts_decide_where_the_table_cannot(noise):
    counts = np.r_[np.full(100, 9), np.zeros(28, int)]
    found = look(noise(128, 64), trained_counts=counts)
    assert (found["MP201"].status, found["MP201"].where) == ("issue", "rows 100..127")
    assert look(noise(128, 64), trained_counts=counts + 1)["MP201"].status == "passed"


def test_random_tables_raise_no_alarm_over_training(noise):
    alarms = [look(noise(128, 64, seed=seed))["MP201"].status == "issue" for seed in range(60)]
    assert sum(alarms) <= 3


# MP202


def test_a_tail_that_thins_out_is_found(trained, noise):
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
def test_uneven_norms_of_trained_rows_are_no_thin_tail(trained, initial_sd, seed):
    table = trained(256, 64, initial_sd=initial_sd, seed=seed)
    for name, course in norm_courses(256, np.random.default_rng(seed)):
        found = look((table * course[:, None]).astype(np.float32))
        assert found["MP202"].status in ("passed", "cannot_tell"), name
        assert found["MP212"].status in ("passed", "cannot_tell"), name


def test_a_tail_that_is_smaller_and_as_alike_cannot_be_told(trained):
    found = look(trained(256, 64) * np.linspace(1, 0.5, 256, dtype=np.float32)[:, None])["MP202"]
    assert found.status == "cannot_tell"
    assert "cosine of neighbours" in found.got and "--compare" in found.fix


def thinned(trained, noise, share, at=96, rows=160, dim=64):
    """Rows of equal random starts that training moved, from ``at`` on by ``share`` of the rest."""
    moved = trained(rows, dim, initial_sd=0.0)
    moved[at:] *= np.float32(share)
    return noise(rows, dim, sd=0.03) + moved


def test_a_tail_that_moved_less_is_found_where_starts_hide_it_in_the_norm(trained, noise):
    rows = thinned(trained, noise, 0.5)
    norms = np.linalg.norm(rows, axis=1)
    assert np.median(norms[-20:]) > 0.6 * np.median(norms[20:96])
    found = look(rows)["MP202"]
    assert found.status == "tip"
    assert abs(int(re.match(r"rows (\d+)\.\.159", found.where)[1]) - 96) <= 8


def test_a_tail_that_moved_a_little_less_cannot_be_told(trained, noise):
    shares = np.linspace(1, 0.5, 11)
    statuses = [look(thinned(trained, noise, share))["MP202"].status for share in shares]
    assert statuses[0] == "passed"
    assert "cannot_tell" in statuses
    assert statuses[-1] == "tip"
    assert statuses == sorted(statuses, key=["passed", "cannot_tell", "tip"].index)


def test_larger_first_rows_are_no_thin_tail(trained, noise):
    rows = thinned(trained, noise, 1.0)
    rows[:20] *= 2
    assert look(rows)["MP202"].status == "passed"


def test_a_tail_of_finer_course_is_no_thin_tail(trained, noise):
    rows = thinned(trained, noise, 1.0)
    flips = np.where(np.arange(160) % 2, 1, -1)[:, None] * noise(1, 64, sd=0.1)
    rows[128:] += flips[128:]
    assert look(rows)["MP202"].status == "passed"


def test_a_tile_cut_off_midway_is_no_thin_tail(trained):
    tile = trained(128, 64) * np.linspace(0.6, 1, 128, dtype=np.float32)[:, None]
    assert look(np.tile(tile, (3, 1))[:320])["MP202"].status == "passed"


def test_counts_name_the_rows_that_were_rare(noise):
    counts = np.r_[np.full(90, 100), np.full(38, 9)]
    assert look(noise(128, 64), trained_counts=counts)["MP202"].where == "rows 90..127"
    assert look(noise(128, 64), trained_counts=counts + 5)["MP202"].status == "passed"


# MP203


def test_a_last_row_left_out_is_found(trained):
    rows = cut(trained(129, 128), 128, 0.02)
    assert fired(rows) == {"MP203"}
    assert look(rows)["MP203"].where == "row 128"


def test_counts_decide_about_the_last_row(noise):
    counts = np.r_[np.full(127, 5), 0]
    assert look(noise(128, 64), trained_counts=counts)["MP203"].status == "issue"
    assert look(noise(128, 64), trained_counts=counts + 1)["MP203"].status == "passed"


# MP204, MP205, MP206, MP207


def test_reserved_rows_that_hold_values_are_named_as_stored(trained):
    rows = np.concatenate([np.ones((1, 64), np.float32), np.zeros((1, 64), np.float32), trained(128, 64)])
    found = look(rows, first_row=2, padding_row=1)["MP204"]
    assert (found.status, found.where) == ("tip", "row 0")
    rows[0] = 0
    assert look(rows, first_row=2, padding_row=1)["MP204"].status == "passed"
    assert look(rows)["MP204"].status == "not_applicable"


def test_class_tokens_are_not_reserved_rows(trained):
    rows = trained(128, 64)
    for options in ({"prefix_rows": 1}, {"prefix_rows": 1, "first_row": 1}):
        found = look(rows, kind="patches", **options)["MP204"]
        assert found.status == "not_applicable"
    assert Facts(rows, prefix_rows=1, first_row=1).start == 1


def test_rows_before_a_position_0_that_the_user_named_may_be_class_tokens(trained):
    rows = trained(128, 64)
    found = look(rows, first_row=1, knows_reserved_rows=False)["MP204"]
    assert (found.status, found.where) == ("cannot_tell", "")
    assert "class token" in found.got
    rows[0] = 0
    assert look(rows, first_row=1, knows_reserved_rows=False)["MP204"].status == "passed"


def test_zero_rows_are_found_but_for_the_padding_row(trained):
    rows = trained(128, 64)
    rows[[0, 7]] = 0
    found = look(rows)["MP205"]
    assert (found.status, found.where) == ("issue", "rows 0, 7")
    assert look(rows, padding_row=0)["MP205"].where == "row 7"
    assert look(rows, first_row=8)["MP205"].status == "passed"


def test_equal_rows_are_found(trained):
    rows = trained(128, 64)
    assert look(rows)["MP206"].status == "passed"
    rows[[9, 50]] = rows[3]
    found = look(rows)["MP206"]
    assert (found.status, found.where) == ("issue", "rows 3, 9, 50")
    rows[9, 0] = np.nextafter(rows[9, 0], 1)
    assert look(rows)["MP206"].where == "rows 3, 50"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_stop_the_other_checks(trained, value):
    rows = np.concatenate([np.zeros((2, 64), np.float32), trained(128, 64)])
    rows[1, 3] = value
    found = look(rows, first_row=2)
    assert (found["MP207"].status, found["MP207"].where) == ("issue", "row 1")
    assert {other.status for code, other in found.items() if code != "MP207"} == {"cannot_tell"}


# MP208, MP209


@pytest.mark.parametrize(("period", "length"), [(128, 512), (77, 248), (500, 512), (9, 64)])
def test_a_tiled_table_is_found_with_its_period(trained, period, length):
    rows = np.resize(trained(period, 64), (length, 64))
    found = look(rows)["MP208"]
    assert found.status == "issue"
    assert found.got.startswith(f"period {period}:")
    assert "MP206" not in fired(rows)


def test_a_tile_that_was_trained_a_little_is_found_and_one_trained_a_lot_is_not(trained, noise):
    tiles = np.tile(trained(128, 64), (4, 1))
    size = np.std(tiles - tiles.mean(axis=0))
    assert "MP208" in fired(tiles + 0.05 * size * noise(512, 64))
    assert "MP208" not in fired(tiles + 0.5 * size * noise(512, 64))


def test_smooth_tables_have_no_period(sinusoid):
    for dim in (32, 64, 768):
        assert look(sinusoid(512, dim).astype(np.float32))["MP208"].status == "passed"


@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize("ratio", [1.25, 1.5, 2, 3, 4, 8])
@pytest.mark.parametrize("dim", [32, 64, 384])
def test_a_stretched_table_is_found_with_its_ratio(trained, dim, ratio, kind):
    found = look(stretch(trained(128, dim), round(128 * ratio), kind))["MP209"]
    assert found.status == "issue"
    said = re.match(r"(.*) stretch by about ([\d.]+):", found.got)
    assert float(said[2]) == pytest.approx(ratio, rel=0.12)
    if ratio >= 2:
        assert said[1] == {"linear": "linear", "cubic": "smooth"}[kind]


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_stretch_survives_rounding_to_half_precision(trained, dtype):
    rows = stretch(trained(128, 384), 512, "linear")
    if dtype == "F16":
        rows = rows.astype(np.float16).astype(np.float32)
    else:
        rows = (rows.view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32)
    assert look(rows, dtype=dtype)["MP209"].status == "issue"


def test_repeated_rows_are_a_stretch_too(trained):
    rows = np.repeat(trained(128, 64), 4, axis=0)
    assert fired(rows) == STRETCHES
    assert look(rows)["MP209"].got.startswith("nearest stretch by about 4")


@pytest.mark.parametrize("rows", [8, 16, 512])
def test_blocks_of_equal_rows_are_no_stretch(trained, rows):
    some = trained(512, 64)[:rows]
    for blocks in ([0 * some], [0 * some + 1], [some[: rows // 2], 0 * some[rows // 2 :]], [some[:1]] * rows):
        assert look(np.concatenate(blocks))["MP209"].status in ("passed", "cannot_tell", "not_applicable")
    two = np.concatenate([np.repeat(some[:1], rows // 2, 0), np.repeat(some[1:2], rows // 2, 0)])
    assert look(two)["MP209"].status != "issue"


@pytest.mark.parametrize("dim", [32, 64, 128, 384, 768])
def test_a_sinusoid_is_smooth_but_no_stretch(sinusoid, dim):
    assert look(sinusoid(512, dim).astype(np.float32))["MP209"].status == "passed"


def test_a_table_of_low_rank_is_no_stretch(trained):
    rows = trained(512, 8) @ np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    assert look(rows)["MP209"].status == "passed"


def test_a_stretch_cannot_be_told_in_eight_bits(trained):
    assert look(trained(64, 64), dtype="F8_E4M3")["MP209"].status == "cannot_tell"


# MP212


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
def test_a_step_in_the_norms_is_found_where_tuning_ended(trained, length, seed):
    found = look(tuned(trained(512, 128, initial_sd=0.005, seed=seed), length))["MP212"]
    assert (found.status, found.where) == ("tip", f"row {length}")
    assert "norms change by +" in found.got


def test_a_step_in_norm_alone_or_in_direction_alone_is_no_step(trained):
    table = trained(512, 128)
    louder, turned = table.copy(), table.copy()
    louder[200:] *= np.float32(1.2)
    turned[200:] = np.roll(turned[200:], 1, axis=1)
    assert {look(rows)["MP212"].status for rows in (louder, turned)} == {"passed"}


def test_a_step_cannot_be_told_where_neighbours_are_hardly_alike(trained):
    found = look(tuned(trained(512, 128, initial_sd=0.08), 200))["MP212"]
    assert found.status == "cannot_tell"
    assert "less alike" in found.got


def test_repeated_rows_have_no_step(trained):
    table = trained(128, 64) * np.linspace(1, 2, 128, dtype=np.float32)[:, None]
    assert look(np.repeat(table, 4, axis=0))["MP212"].status == "passed"


def test_the_edge_of_untrained_rows_is_not_told_twice(trained):
    assert fired(cut(trained(512, 128), 128, 0.01)) == {"MP201"}


# MP210, MP211


def test_an_outlier_in_the_first_row_is_found(trained):
    rows = trained(256, 64)
    rows[0] *= 4
    assert fired(rows) == {"MP210"}
    assert look(rows, kind="patches")["MP210"].status == "not_applicable"


def test_untrained_rows_do_not_make_the_first_row_an_outlier(trained):
    assert look(cut(trained(512, 128), 64, 0.01))["MP210"].status == "passed"


def test_random_rows_have_no_order_and_ordered_rows_have(noise, sinusoid, trained):
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


# all


def test_image_tables_and_fixed_sinusoids_are_spared_the_checks_of_text(sinusoid):
    table = sinusoid(128, 64).astype(np.float32)
    for kind, codes in {
        "patches": ("MP201", "MP203", "MP209", "MP212"),
        "fixed_sinusoid": ("MP201", "MP202", "MP203", "MP209", "MP212"),
    }.items():
        found = look(table, kind=kind)
        assert {found[code].status for code in codes} == {"not_applicable"}


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (2, 3), (9, 1), (20, 2), (70, 1)])
@pytest.mark.parametrize("value", ["zeros", "ones", "random", "huge"])
def test_odd_shapes_and_values_get_an_answer(shape, value):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows = {"zeros": rows * 0, "ones": rows * 0 + 1, "random": rows, "huge": rows * np.float32(1e37)}[value]
    assert set(look(rows)) == set(CHECKS)
