"""Forecasting: reading series, cutting them in time, losses against loops, and that models learn."""

from __future__ import annotations

import copy
import csv
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, ViTConfig, ViTModel

from milepost.encodings import registered
from milepost.errors import DataError, MissingExtra, OptionError, SwapRefused, UnknownName
from milepost.models.building.forecaster import Forecaster
from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.tasks import Options, find_task
from milepost.tasks.forecast import ETT, Forecast
from milepost.tasks.series import read_series
from milepost.tasks.task import to_device

CPU = torch.device("cpu")
REAL = Path(__file__).parents[3] / "shared" / "data" / "timeseries"
real = pytest.mark.skipif(not REAL.exists(), reason="needs the real series beside the project")


def write(path: Path, values: np.ndarray, names: tuple[str, ...] = ("a", "b")) -> str:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("time", *names))
        rows.writerows((f"day {at}", *row) for at, row in enumerate(values.tolist()))
    return str(path)


@pytest.fixture
def walk(tmp_path: Path) -> str:
    return write(tmp_path / "walk.csv", np.random.default_rng(1).normal(size=(400, 2)).cumsum(0))


class Copier(nn.Module):
    """Forecasts the last value of each patch, and remembers what it was shown."""

    def __init__(self, patch: int, horizon: int) -> None:
        super().__init__()
        self.patch, self.horizon, self.seen = patch, horizon, []

    def forward(self, values: torch.Tensor) -> SimpleNamespace:
        self.seen.append(values)
        last = values.unflatten(1, (-1, self.patch))[..., -1:]
        return SimpleNamespace(forecast=last.expand(-1, -1, self.horizon))


# ---- reading


def test_columns_of_numbers_are_the_channels(walk: str) -> None:
    series = read_series(walk)
    assert series.columns == ("a", "b") and series.table == ("time", "a", "b")
    assert series.values.shape == (400, 2)


@pytest.mark.parametrize(
    ("columns", "found"), [("b", ("b",)), ("b,a", ("b", "a")), ("1, 2", ("a", "b")), ("a,1", ("a",))]
)
def test_columns_are_chosen_by_name_or_index(walk: str, columns: str, found: tuple[str, ...]) -> None:
    series = read_series(walk, columns)
    assert series.columns == found
    assert np.array_equal(series.values[:, 0], read_series(walk).values[:, ("a", "b").index(found[0])])


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_newline_ends_a_row(tmp_path: Path, newline: str) -> None:
    (tmp_path / "s.csv").write_bytes(newline.join(["ds,y", "x,1", "y,2.5", ""]).encode())
    assert read_series(str(tmp_path / "s.csv")).values.tolist() == [[1.0], [2.5]]


def test_a_table_without_a_header_and_one_of_tabs(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("1,2\n3,4\n")
    (tmp_path / "s.tsv").write_text("u\tv\n1\t2\n3\t4\n")
    assert read_series(str(tmp_path / "s.txt"), header=False).columns == ("0", "1")
    assert read_series(str(tmp_path / "s.tsv")).values.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"a,b\n", "header alone"),
        (b"a,b\n1,2\n3\n", "row 3"),
        (b"a,b\n1,2\n3,\n", "'' in row 3, column b"),
        (b"a,b\n1,2\n3,nan\n", "'nan' in row 3"),
        (b"a,b\n1,2\ninf,2\n", "'inf' in row 3"),
        (b"a,b\n1,2\n1_0,2\n", "'1_0' in row 3"),
        (b"a,b\nx,y\n", "no column"),
        (b"0.5,1\n1,2\n", "no header"),
        (b"a,b\n1,\xff\n", "UTF-8"),
        (b"a\x00,b\n1,2\n", "zero byte"),
        (b"a,b\n1,2\n1," + b"9" * 200_000 + b"\n", "in row 3, column b"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_series(str(tmp_path / "s.csv"))


def table(path: Path, rows: list[list[object]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def pollution(steps: int = 60) -> list[list[object]]:
    """Columns that count rows and time, one whose first cell is empty, and one of text."""
    rng = np.random.default_rng(0)
    head = ["No", "year", "month", "day", "hour", "pm2.5", "cbwd", "rain"]
    rows = [
        [at + 1, 2010, 1, 1 + at // 24, at % 24, "NA" if at < 3 or at == 30 else f"{rng.normal():.3f}", "NW", int(rng.integers(9))]
        for at in range(steps)
    ]  # fmt: skip
    return [head, *rows]


def test_a_series_with_an_empty_first_cell_is_no_longer_left_out_and_counters_are(tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", pollution())
    with pytest.raises(DataError, match=r"'NA' in row 2, column pm2\.5") as caught:
        read_series(path)
    assert "--fill previous" in caught.value.fix
    series = read_series(path, fill="previous")
    assert series.columns == ("pm2.5", "rain")
    assert "No, year, month, day, hour" in series.notes[0] and "--text-column" in series.notes[0]
    assert series.notes[1] == "4 of 120 values were missing and are filled (previous)."
    assert (series.values[:3, 0] == series.values[3, 0]).all()  # nothing stands before them
    assert series.values[30, 0] == series.values[29, 0]
    linear = read_series(path, fill="linear").values[29:32, 0]
    assert linear[1] == pytest.approx((linear[0] + linear[2]) / 2)
    assert read_series(path, "hour,rain").columns == ("hour", "rain")


def test_a_counter_without_a_name_is_shown_as_unnamed(tmp_path: Path) -> None:
    path = table(tmp_path / "u.csv", [["", "a"], *([at, at % 7] for at in range(40))])
    assert read_series(path).notes[0].startswith("Not forecast: (unnamed) (counts rows or time).")


@pytest.mark.parametrize(("cell", "fix"), [("", "--fill previous"), ("inf", "correct or empty the cell")])
def test_a_cell_that_cannot_be_filled_is_not_called_a_gap(tmp_path: Path, cell: str, fix: str) -> None:
    path = table(tmp_path / "c.csv", [["a"], *([cell if at == 20 else at % 7] for at in range(40))])
    with pytest.raises(DataError) as caught:
        read_series(path)
    assert fix in caught.value.fix and ("--fill" in caught.value.fix) == (cell == "")


def test_a_column_without_values_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", [["a", "b"], *([at % 7, ""] for at in range(40))])
    series = read_series(path)
    assert series.columns == ("a",) and "Not forecast: b (no value in the first 40 rows)" in series.notes[0]
    with pytest.raises(DataError, match="a series has no values"):
        read_series(path, "a,b", fill="linear")


@pytest.mark.parametrize("case", ["years", "ragged", "dates"])
def test_one_series_per_row_is_found_and_named(tmp_path: Path, case: str) -> None:
    head = {
        "years": ["country", *range(1960, 2000)],
        "ragged": ["series", *(f"V{at}" for at in range(1, 41))],
        "dates": ["name", *(f"2020-01-{at:02}" for at in range(1, 32)), *(f"2020-02-{at:02}" for at in range(1, 10))],
    }[case]  # fmt: skip
    values = np.arange(200.0).reshape(5, 40)
    rows = [[f"s{at}", *row] for at, row in enumerate(values.tolist())]
    if case == "ragged":
        for at, row in enumerate(rows):
            row[41 - at :] = [""] * at
    series = read_series(table(tmp_path / "w.csv", [head, *rows]))
    assert series.layout == "rows" and series.columns == ("s0", "s1", "s2", "s3", "s4")
    assert "one series per row: 5 series" in series.notes[0]
    steps = 36 if case == "ragged" else 40
    wanted = np.stack([row[40 - at - steps : 40 - at] if case == "ragged" else row for at, row in enumerate(values)], 1)  # fmt: skip
    assert np.array_equal(series.values, wanted)
    assert (len(series.notes) == 2) == (case == "ragged")
    some = read_series(str(tmp_path / "w.csv"), "s3,0")
    assert some.columns == ("s3", "s0")
    task = Forecast.open(str(tmp_path / "w.csv"), Options(patch=2, horizon=2))
    assert task.facts()["layout"] == "one series per row" and task.notes(2, (2,)) == list(series.notes)


def test_a_gap_within_a_row_is_filled_on_request_alone(tmp_path: Path) -> None:
    rows = [[f"s{at}", *range(at, at + 12)] for at in range(3)]
    rows[1][4] = ""
    path = table(tmp_path / "w.csv", [["id", *(f"t{at}" for at in range(12))], *rows])
    with pytest.raises(DataError, match="row 3"):
        read_series(path)
    assert read_series(path, fill="linear").values[:, 1].tolist() == list(range(1, 13))


def test_a_table_that_may_be_read_both_ways_is_refused_and_the_option_decides(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = table(tmp_path / "a.csv", [list(range(40)), *rng.normal(size=(30, 40)).tolist()])
    long = table(
        tmp_path / "b.csv",
        [["place", *(f"x{at}" for at in range(10))], *([f"r{at}", *row] for at, row in enumerate(rng.normal(size=(90, 10)).tolist()))],
    )  # fmt: skip
    for path, columns, rows in ((many, (30, 40), (40, 30)), (long, (90, 10), (10, 90))):
        with pytest.raises(DataError, match="one series per column or one per row") as caught:
            read_series(path)
        assert "--layout columns" in caught.value.fix and "--layout rows" in caught.value.fix
        assert read_series(path, layout="columns").values.shape == columns
        assert read_series(path, layout="rows").values.shape == rows
    for options in ({"layout": "wide"}, {"fill": "zero"}):
        with pytest.raises(OptionError, match="choose from"):
            read_series(many, **options)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("names", "labels", "times"),
    [
        (("unique_id", "ds", "y"), ("H1", "H2", "H3"), range(1, 601)),
        (("unique_id", "ds", "y"), (0, 1, 2), range(600)),
        (("place", "date", "y"), ("a", "b", "c"), [f"2020-{at // 28 + 1:02}-{at % 28 + 1:02}" for at in range(300)]),
        (("place", "date", "y"), ("a", "b", "c"), [f"{at // 28 + 1}/{at % 28 + 1}/2020" for at in range(300)]),
    ],
)  # fmt: skip
def test_series_below_one_another_are_refused(
    tmp_path: Path, names: tuple[str, ...], labels: tuple, times: list, mixed: bool
) -> None:
    pairs = [(a, b) for b in times for a in labels] if mixed else [(a, b) for a in labels for b in times]
    path = table(tmp_path / "a.csv", [names, *((*pair, at * 0.5) for at, pair in enumerate(pairs))])
    for columns in (None, "y"):
        with pytest.raises(DataError, match="several series below one another") as caught:
            read_series(path, columns)
        assert names[0] in caught.value.got and names[1] in caught.value.got
        assert "one column per series" in caught.value.fix and "--layout columns" in caught.value.fix
    assert read_series(path, "y", layout="columns").values.shape == (len(pairs), 1)


def test_one_series_with_labels_and_times_of_day_is_read(tmp_path: Path) -> None:
    hours = range(24 * 40)
    days = [f"2020-{at // 24 // 28 + 1:02}-{at // 24 % 28 + 1:02}" for at in hours]
    rng = np.random.default_rng(0)
    winds = rng.choice(["NE", "SW", "cv"], len(hours))
    wind = [["date", "hour", "wind", "y"], *([days[at], at % 24, winds[at], at * 0.5] for at in hours)]
    clock = [["date", "time", "y"], *([days[at], f"{at % 24:02}:00", at * 0.5] for at in hours)]
    weekday = [
        ["weekday", "time", "y"],
        *(["MTWTFSS"[at // 24 % 7], f"{at % 24}:00", at * 0.5] for at in hours),
    ]
    alone = [["unique_id", "ds", "y"], *(["H1", at, at * 0.5] for at in hours)]
    calendar = [["year", "month", "day", "y"], *([2000 + at // 336, at // 28 % 12 + 1, at % 28 + 1, at * 0.5] for at in hours)]  # fmt: skip
    for number, rows in enumerate((wind, clock, weekday, alone, calendar)):
        assert read_series(table(tmp_path / f"{number}.csv", rows)).columns == ("y",)


def test_numbered_channels_beside_times_are_one_series_per_column(tmp_path: Path) -> None:
    names = [f"sensor{at}" for at in range(30)]
    rows = [[f"2020-01-01 {at:02}:00", *row] for at, row in enumerate(np.random.default_rng(0).normal(size=(60, 30)).tolist())]  # fmt: skip
    series = read_series(table(tmp_path / "a.csv", [["time", *names], *rows]))
    assert series.layout == "columns" and series.columns == tuple(names) and series.notes == ()


def test_missing_files_columns_and_names_are_refused(tmp_path: Path, walk: str) -> None:
    for source in (tmp_path / "none.csv", tmp_path, tmp_path / "x.xlsx"):
        with pytest.raises(DataError, match="no table"):
            read_series(str(source))
    for columns in ("c", "7", ""):
        with pytest.raises(DataError, match="no such column"):
            read_series(walk, columns)
    with pytest.raises(DataError, match="row 2, column time"):
        read_series(walk, "time")
    with pytest.raises(UnknownName, match="seasons"):
        read_series("builtin:season")


def test_series_of_an_absent_package_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "statsmodels.datasets", None)
    with pytest.raises(MissingExtra, match=r"milepost\[data\]"):
        read_series("builtin:sunspots")


def test_sunspots_come_from_statsmodels() -> None:
    pytest.importorskip("statsmodels", reason="needs the extra data")
    series = read_series("builtin:sunspots")
    assert series.columns == ("sunactivity",) and len(series.values) == 309


def test_the_generated_series_is_the_same_each_time_and_has_its_cycles() -> None:
    series = read_series("builtin:seasons")
    assert series.sha256 == read_series("builtin:seasons").sha256
    power = np.abs(np.fft.rfft(series.values[: 168 * 47], axis=0)) ** 2
    assert set(np.argsort(power[:, 0])[-2:]) == {47, 47 * 7}  # periods of 168 and 24 steps


# ---- parts


def test_parts_follow_one_another_and_are_standardised_by_the_first(walk: str) -> None:
    task, raw = Forecast.open(walk, Options()), read_series(walk).values
    train, validation, test = (task.parts[part] for part in ("train", "validation", "test"))
    assert (len(train.values), validation.first, len(validation.values)) == (280, 280, 320)
    assert (test.first, len(test.values)) == (320, 400)
    wanted = (raw - raw[:280].mean(0)) / raw[:280].std(0)
    np.testing.assert_allclose(test.values, wanted, atol=1e-6)
    assert task.floor() == pytest.approx(np.square(wanted[:280]).mean(), rel=1e-5)


def test_tables_of_ett_are_cut_by_months(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(14_450, 7))
    hourly = Forecast.open(write(tmp_path / "h.csv", values, ETT), Options())
    assert (len(hourly.parts["train"].values), hourly.parts["test"].first) == (8640, 11_520)
    assert len(hourly.parts["test"].values) == 14_400
    one = Forecast.open(write(tmp_path / "h.csv", values, ETT), Options(text_column="OT"))
    assert len(one.parts["train"].values) == 8640 and one.split == hourly.split
    short = Forecast.open(write(tmp_path / "s.csv", values[:14_000], ETT), Options())
    assert len(short.parts["train"].values) == 9800 and short.split != hourly.split


def test_changing_the_future_changes_no_training_batch(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(400, 2))
    first = Forecast.open(write(tmp_path / "a.csv", values), Options())
    values[281:] += 100.0
    second = Forecast.open(write(tmp_path / "b.csv", values), Options())
    for step in range(20):
        assert np.array_equal(first.batch(0, step, 8, 4)["series"], second.batch(0, step, 8, 4)["series"])
    assert first.sha256 != second.sha256


def test_given_parts_are_used_and_other_channels_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    paths = [write(tmp_path / f"{at}.csv", rng.normal(size=(300 + at, 2))) for at in range(3)]
    task = Forecast.open(paths[0], Options(validation=paths[1], test=paths[2]))
    assert [len(task.parts[part].values) for part in ("train", "validation", "test")] == [300, 301, 302]
    both = Forecast.open(paths[0], Options(test=paths[2]))
    assert (len(both.parts["train"].values), both.parts["validation"].first) == (210, 210)
    other = Forecast.open(paths[0], Options(validation=paths[1]))
    assert (len(other.parts["train"].values), other.parts["test"].first) == (240, 240)
    with pytest.raises(DataError, match="other channels"):
        Forecast.open(
            paths[0], Options(test=write(tmp_path / "c.csv", rng.normal(size=(300, 2)), ("a", "c")))
        )


@pytest.mark.parametrize("given", [False, True])
def test_every_length_is_scored_at_the_same_moments(tmp_path: Path, walk: str, given: bool) -> None:
    values = np.random.default_rng(5).normal(size=(300, 2))
    own = write(tmp_path / "own.csv", values) if given else None
    task = Forecast.open(walk, Options(patch=4, horizon=6, test=own))
    futures = {}
    for length in (1, 8, 37):
        task.check_lengths(8, (length,))
        futures[length] = torch.cat([wanted for _, wanted in task._windows(length, "test")])
    assert torch.equal(futures[1], futures[8]) and torch.equal(futures[1], futures[37])
    first = task.parts["test"].first
    assert first == (150 if given else 320)
    assert torch.equal(futures[1][0], torch.from_numpy(task.parts["test"].values[first : first + 6, 0]))


def test_a_length_that_looks_back_past_the_first_moment_is_refused(tmp_path: Path, walk: str) -> None:
    own = write(tmp_path / "own.csv", np.random.default_rng(5).normal(size=(300, 2)))
    for test, longest in ((None, 80), (own, 37)):  # 320 of 400 steps, and half of 300
        task = Forecast.open(walk, Options(patch=4, horizon=6, test=test))
        task.check_lengths(8, (longest,))
        with pytest.raises(DataError, match="too short: its test part"):
            task.check_lengths(8, (longest + 1,))


def test_of_a_long_part_of_the_users_own_no_more_is_looked_back_at_than_lengths_may_take(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(5)
    paths = [write(tmp_path / f"{n}.csv", rng.normal(size=(n, 1)), ("a",)) for n in (400, 6_000)]
    task = Forecast.open(paths[0], Options(patch=2, horizon=6, test=paths[1]))
    assert task.parts["test"].first == 2_048


def test_parts_that_share_a_stretch_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=(400, 2))
    whole = write(tmp_path / "whole.csv", values)
    with pytest.raises(DataError, match="share documents"):
        Forecast.open(whole, Options(test=write(tmp_path / "end.csv", values[200:])))
    values[:, 0] = 0.0
    values[:150, 1], values[250:, 1] = 0.0, 0.0  # standing still is no sign of the same data
    Forecast.open(
        write(tmp_path / "a.csv", values[:200]), Options(test=write(tmp_path / "b.csv", values[200:]))
    )


def test_a_channel_that_never_moves_stays_at_0(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(300, 2))
    values[:, 1] = 7.0
    task = Forecast.open(write(tmp_path / "a.csv", values), Options())
    assert np.isfinite(task.parts["test"].values).all() and not task.parts["test"].values[:, 1].any()
    assert task.floor() == pytest.approx(0.5, rel=1e-5)


# ---- batches, losses, measurements


def test_a_batch_is_a_function_of_its_arguments(walk: str) -> None:
    task = Forecast.open(walk, Options(patch=5, horizon=7))
    batch = task.batch(3, 11, 6, 4)["series"]
    assert batch.shape == (6, 27) and batch.dtype == np.float32
    assert np.array_equal(
        batch, Forecast.open(walk, Options(patch=5, horizon=7)).batch(3, 11, 6, 4)["series"]
    )
    assert not np.array_equal(batch, task.batch(3, 12, 6, 4)["series"])
    assert not np.array_equal(batch, task.batch(4, 11, 6, 4)["series"])


@pytest.mark.parametrize(("patch", "horizon"), [(5, 7), (8, 3)])
def test_the_loss_is_that_of_a_loop(walk: str, patch: int, horizon: int) -> None:
    task, model = Forecast.open(walk, Options(patch=patch, horizon=horizon)), Copier(patch, horizon)
    batch = task.batch(0, 0, 3, 4)
    errors = [
        (series[end - 1] - series[end + ahead]) ** 2
        for series in batch["series"].astype(np.float64)
        for end in range(patch, 4 * patch + 1, patch)
        for ahead in range(horizon)
    ]
    assert task.loss(model, to_device(batch, CPU)).item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_measurements_are_those_of_a_loop_and_the_last_value_is_the_stated_baseline(walk: str) -> None:
    task, model = Forecast.open(walk, Options(patch=4, horizon=6)), Copier(4, 6)
    measured = task.evaluate(model, 8, CPU)
    values = task.parts["test"].values.astype(np.float64)
    errors = np.array([
        values[at : at + 6, channel] - values[at - 1, channel]
        for at in range(320, 395)
        for channel in range(2)
    ])  # fmt: skip
    assert measured.curve == pytest.approx(np.square(errors).mean(0), rel=1e-5)
    assert measured.metrics["mse"] == pytest.approx(np.square(errors).mean(), rel=1e-5)
    assert measured.metrics["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert task.facts()["last_value_mse"] == pytest.approx(measured.metrics["mse"], rel=1e-5)
    futures = [values[at : at + 6] for at in range(320, 395)]
    assert task.facts()["training_mean_mse"] == pytest.approx(np.square(futures).mean(), rel=1e-5)


def test_all_lengths_forecast_the_same_moments_and_see_nothing_of_them(walk: str) -> None:
    task = Forecast.open(walk, Options(patch=4, horizon=6))
    ends = {}
    for length in (1, 8):
        model = Copier(4, 6)
        task.evaluate(model, length, CPU)
        ends[length] = torch.cat(model.seen)
    assert torch.equal(ends[1], ends[8][:, -4:])
    values, first = task.parts["test"].values, task.parts["test"].first
    assert torch.equal(ends[8][0], torch.from_numpy(values[first - 32 : first, 0]))


def test_validation_is_measured_on_its_own_steps(walk: str) -> None:
    task, model = Forecast.open(walk, Options(patch=4, horizon=6)), Copier(4, 6)
    task.evaluate(model, 2, CPU, "validation")
    seen, values = torch.cat(model.seen), task.parts["validation"].values
    assert torch.equal(seen[-1], torch.from_numpy(values[320 - 6 - 8 : 320 - 6, 1]))


def test_options_and_lengths_out_of_range_are_refused(walk: str) -> None:
    task = Forecast.open(walk, Options(patch=8, horizon=24))
    task.check_lengths(16, (8, 32))
    for train, lengths in ((33, (8,)), (16, (48,))):
        with pytest.raises(DataError, match="too short"):
            task.check_lengths(train, lengths)
    with pytest.raises(DataError, match="too short"):
        Forecast.open(walk, Options(horizon=81))
    for options in (
        Options(patch=-1),
        Options(horizon=-3),
        Options(tokenizer="byte"),
        Options(evaluate="sliding"),
    ):
        with pytest.raises(OptionError):
            Forecast.open(walk, options)


# ---- the model


def make(encoding: str, seed: int = 0, max_len: int = 16) -> Forecaster:
    shape = ModelShape(layers=1, dim=32, heads=2, init_std=0.1, max_len=max_len, patch=8, horizon=12)
    model = build_scratch("forecast", shape, encoding=encoding, seed=seed)
    assert isinstance(model, Forecaster)
    return model


def test_all_encodings_share_every_other_weight_bit_for_bit() -> None:
    def shared(model: nn.Module) -> dict[str, torch.Tensor]:
        return {name: value for name, value in model.state_dict().items() if ".milepost." not in name}

    wanted = shared(make("none"))
    assert {"read.weight", "write.bias"} <= wanted.keys()
    for name in (name for name, cls in registered().items() if not cls.needs_grid):
        got = shared(make(name))
        assert got.keys() == wanted.keys() and all(torch.equal(got[key], wanted[key]) for key in wanted), name
    assert not torch.equal(shared(make("none", seed=1))["read.weight"], wanted["read.weight"])


def test_no_forecast_sees_what_comes_after_its_patch() -> None:
    model = make("rotary").eval()
    values = torch.randn(2, 64)
    with torch.no_grad():
        before = model(values).forecast
        values[:, 40:] += 5.0
        after = model(values).forecast
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_patches_reach_the_backbone_at_the_scale_that_encodings_stand_beside() -> None:
    model = make("sinusoidal")
    embedded = model.read(torch.randn(4000, 8))
    assert embedded.std().item() == pytest.approx(0.1, rel=0.1)
    vectors = model.backbone.milepost.vectors(range(16))
    assert vectors.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.01)


def test_every_trainable_weight_gets_a_gradient() -> None:
    model, task = make("learned"), Forecast.open("builtin:seasons", Options(horizon=12))
    task.loss(model, to_device(task.batch(0, 0, 2, 16), CPU)).backward()
    without = [name for name, one in model.named_parameters() if one.requires_grad and one.grad is None]
    assert without == []


def test_other_backbones_are_taken_and_those_without_embeddings_refused() -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    bert = BertModel(BertConfig(vocab_size=4, **small))
    assert Forecaster(bert, patch=2, horizon=3)(torch.zeros(1, 8)).forecast.shape == (1, 4, 3)
    with pytest.raises(SwapRefused, match="no embeddings"):
        Forecaster(ViTModel(ViTConfig(image_size=8, patch_size=4, **small)), patch=2, horizon=3)
    gpt2 = GPT2Model(GPT2Config(vocab_size=2, n_embd=8, n_layer=1, n_head=2, n_positions=4))
    assert not Forecaster(gpt2, patch=2, horizon=3).backbone.wte.weight.requires_grad


def test_a_model_is_copied_and_pickled() -> None:
    model, values = make("alibi").eval(), torch.randn(1, 64)
    with torch.no_grad():
        wanted = model(values).forecast
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
            assert torch.equal(other(values).forecast, wanted)


def test_a_model_learns_what_no_constant_forecast_does() -> None:
    task = find_task("forecast").open("builtin:seasons", Options(horizon=12))
    task.check_lengths(16, (8, 16))
    model = make("learned")
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=4e-3)
    for step in range(60):
        task.loss(model, to_device(task.batch(0, step, 16, 16), CPU)).backward()
        optimizer.step()
        optimizer.zero_grad()
    measured = task.evaluate(model.eval(), 16, CPU)
    assert measured.metrics["mse"] < 0.5 * min(task.floor(), task.facts()["last_value_mse"])
    assert len(measured.curve) == 12 and np.mean(measured.curve) == pytest.approx(measured.metrics["mse"])


# ---- real series


@real
def test_real_series_are_read() -> None:
    ett = Forecast.open(str(REAL / "ETTh1.csv"), Options(horizon=96))
    assert ett.series.columns == ETT and ett.split.startswith("ETT")
    values = ett.parts["test"].values.astype(np.float64)
    futures = np.lib.stride_tricks.sliding_window_view(values[ett.parts["test"].first :], 96, axis=0)
    last = values[ett.parts["test"].first - 1 :][: len(futures), :, None]
    every = np.square(futures - last).mean()  # of all moments, of which one in five is measured
    assert ett.facts()["last_value_mse"] == pytest.approx(every, rel=0.02)
    rates = Forecast.open(str(REAL / "exchange_rate.txt"), Options(header=False))
    assert rates.series.values.shape == (7588, 8)
    assert read_series(str(REAL / "daily-min-temperatures.csv")).values.shape == (3650, 1)
    assert read_series(str(REAL / "example_air_passengers.csv")).values.shape == (144, 1)
    weekly = read_series(str(REAL / "m4" / "Weekly-train.head30.csv"))
    assert weekly.layout == "rows" and weekly.columns[:2] == ("W1", "W2")
    assert weekly.values.shape == (457, 30)  # as many steps as the shortest has
    assert any("457 to 2,597 steps" in note for note in weekly.notes)
    assert read_series(str(REAL / "m4" / "Weekly-train.head30.csv"), "W4,W1").values.shape == (2179, 2)
