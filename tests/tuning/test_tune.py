"""Tuning tables of tiny models: what moves, what does not, when it stops, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from milepost.errors import DataError, FolderError, MilepostError, OptionError, TrialFailed
from milepost.reporting import read_schema
from milepost.tables import read
from milepost.tuning.loading import load_subject
from milepost.tuning.training import gains, training
from milepost.tuning.training.checkpoint import TuningProgress, TuningState
from milepost.tuning.training.gains import measure_gains
from milepost.tuning.training.plan import Aim
from milepost.tuning.training.split_table import SplitTable, find_parameter
from milepost.tuning.training.training import Recipe
from milepost.tuning.training.windows import Span, make_batch, run_windows
from milepost.tuning.tune import tune_rows

OLD, NEW = 16, 48
QUICK = Recipe(steps=24, every=8, lr=0.03, batch=8, weight_decay=0.1)
Pair = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module", params=["causal-lm", "roberta", "embedding"])
def tuned(
    request: pytest.FixtureRequest, pair: Pair, texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The model that was tuned, and the result."""
    model = pair(request.param)[1]
    return model, tune_rows(model, str(texts), recipe=QUICK, out=tmp_path_factory.mktemp("runs") / "run")


def test_frozen_rows_are_the_same_bits_under_weight_decay_and_new_rows_move(
    tuned: tuple[Path, dict[str, Any]],
) -> None:
    model, result = tuned
    before, after = read(model).table(), read(Path(result["output"]) / "model").table()
    frozen = before.first_row + OLD
    assert np.array_equal(before.rows[:frozen], after.rows[:frozen])
    assert (before.rows[frozen:] != after.rows[frozen:]).any(axis=1).all()


def test_all_other_tensors_and_files_are_the_same_bytes(tuned: tuple[Path, dict[str, Any]]) -> None:
    model, result = tuned
    folder = Path(result["output"]) / "model"
    old, new = load_file(model / "model.safetensors"), load_file(folder / "model.safetensors")
    assert old.keys() == new.keys()
    assert [key for key in old if old[key].tobytes() != new[key].tobytes()] == [result["design"]["key"]]
    changed = {
        path.name for path in model.iterdir() if path.read_bytes() != (folder / path.name).read_bytes()
    }
    assert changed == {"config.json", "model.safetensors", "README.md"}
    assert {check["status"] for check in result["checks"]} == {"passed"}


def test_the_loss_on_held_out_windows_falls_and_the_result_fits_its_schema(
    tuned: tuple[Path, dict[str, Any]],
) -> None:
    _, result = tuned
    history = [one["loss"] for one in result["training"]["history"]]
    assert history[-1] < history[0]
    assert result["documents"] == {"train": 29, "stop": 4, "report": 7}
    assert result["gains"][0]["positions"][1] == NEW
    text = json.dumps(result, allow_nan=False)
    jsonschema.Draft202012Validator(read_schema("tune")).validate(json.loads(text))


def test_the_saved_folder_records_what_was_trained_and_says_what_was_not(
    tuned: tuple[Path, dict[str, Any]],
) -> None:
    _, result = tuned
    folder = Path(result["output"]) / "model"
    record = json.loads((folder / "config.json").read_text())["milepost"]
    assert (record["trained_length"], record["tuned_length"]) == (NEW, NEW)
    assert record["extension"]["from_length"] == OLD
    assert record["tuning"]["window"] == OLD
    card = (folder / "README.md").read_text()
    assert card.index("have not been trained") < card.index("Relations over more than 16 positions")


def test_a_finished_run_is_not_run_again(
    tuned: tuple[Path, dict[str, Any]], texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, result = tuned
    monkeypatch.setattr("milepost.tuning.tune.recover", None)
    assert tune_rows(model, str(texts), recipe=QUICK, out=result["output"]) == result


def test_a_gradient_mask_lets_masked_rows_drift_where_a_split_table_does_not() -> None:
    start = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))

    def train(weight: nn.Parameter, rows: Callable[[], torch.Tensor], masked: int) -> torch.Tensor:
        optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1)
        for _ in range(3):
            rows().square().sum().backward()
            assert weight.grad is not None
            weight.grad[:masked] = 0
            optimizer.step()
            optimizer.zero_grad()
        return rows().detach()

    mask = nn.Parameter(start.clone())
    split = SplitTable(start, 3, first_row=0)
    assert not torch.equal(train(mask, lambda: mask, 3)[:3], start[:3])
    ends = train(split.tuned, split.rows, 0)
    assert torch.equal(ends[:3], start[:3])
    assert (ends[3:] != start[3:]).all()


@pytest.mark.parametrize("kind", ["masked-lm", "causal-lm", "roberta", "opt"])
def test_a_window_at_an_offset_is_the_model_with_position_ids_of_that_offset(kind: str, pair: Pair) -> None:
    model = pair(kind)[1]
    subject, table = load_subject(model), read(model).table()
    rows = torch.from_numpy(table.rows)
    name = find_parameter(subject.model, table.key, rows)
    split = SplitTable(rows, len(rows), first_row=table.first_row)
    random = np.random.default_rng(0)
    batch = make_batch(subject, [random.integers(5, 25, size) for size in (9, 12)], 21, [0])
    front, width = len(subject.prefix), batch.ids.shape[1]
    with torch.no_grad():
        found = run_windows(subject, name, split.window(21, kept=front), batch)
        positions = np.arange(width) + 21 * (np.arange(width) >= front)
        # RoBERTa takes rows where others take positions
        given = torch.from_numpy(positions + (table.first_row if kind == "roberta" else 0)).expand(2, -1)
        real = torch.from_numpy(np.arange(width) < batch.lengths[:, None]).long()
        logits = subject.model(
            input_ids=torch.from_numpy(batch.ids), attention_mask=real, position_ids=given
        ).logits
    row, place = np.nonzero(batch.scored)
    wanted = logits[row, place - int(subject.kind == "causal-lm")]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_every_trained_row_is_met_as_often_as_its_share() -> None:
    span, random = Span(begin=16, length=48, window=16), np.random.default_rng(0)
    met = np.zeros(48)
    for offset in (span.draw(random) for _ in range(4000)):
        assert 0 <= offset <= 32
        met[offset : offset + 16] += 1
    assert met[16:].min() / 4000 > 0.9 * 16 / (48 - 16 + 15)


def test_training_stops_early_and_says_that_it_did_not_help(
    pair: Pair, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 2.0, 1.5, 1.2, 1.1])
    monkeypatch.setattr(training, "_measure", lambda *_: next(losses))
    recipe = Recipe(steps=40, every=2, patience=2)
    result = tune_rows(pair("causal-lm")[1], str(texts), recipe=recipe, out=tmp_path / "run")
    assert result["training"]["ended"] == "early"
    assert (result["training"]["steps"], result["training"]["best_step"]) == (8, 0)
    assert result["training"]["last_lr"] == recipe.lr / 4**4
    assert (result["helped"], result["saved"]) == (False, [])
    assert {gain["difference"] for gain in result["gains"]} == {0.0}
    kept = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert kept == ["design.json", "result.json", "state.safetensors"]


HIGH = Recipe(steps=40, every=4, lr=3.0, batch=4, patience=5)


def test_a_rate_that_is_too_high_is_backed_off_from(pair: Pair, texts: Path, tmp_path: Path) -> None:
    result = tune_rows(pair("embedding")[1], str(texts), recipe=HIGH, out=tmp_path / "run")
    training = result["training"]
    first, second, *rest = (one["loss"] for one in training["history"])
    assert second > first  # the rate is too high
    assert min(rest) < first
    assert training["best_step"] > 4
    assert training["last_lr"] < HIGH.lr
    assert result["saved"] == ["patch.safetensors", "model"]


def test_a_run_that_ends_after_a_setback_goes_on_to_the_same_bytes(
    pair: Pair, texts: Path, tmp_path: Path
) -> None:
    def stop(_: str, step: int, *rest: object) -> None:
        if step == 6:
            raise KeyboardInterrupt

    model, quick = pair("embedding")[1], replace(HIGH, steps=12)
    with pytest.raises(KeyboardInterrupt):
        tune_rows(model, str(texts), recipe=quick, out=tmp_path / "cut", on_progress=stop)
    state = TuningState.read(tmp_path / "cut")
    assert state is not None and state.progress.scale == 0.25
    for name in ("cut", "whole"):
        tune_rows(model, str(texts), recipe=quick, out=tmp_path / name, save="patch")
    paths = [tmp_path / name / "patch.safetensors" for name in ("cut", "whole")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_after_a_setback_the_best_rows_are_back_and_the_rate_is_a_quarter() -> None:
    assert Recipe(lr=1.0).learning_rate(100, scale=1 / 16) == Recipe(lr=1.0).learning_rate(100) / 16
    seen = TuningProgress()
    for step, loss in ((0, 3.0), (5, 3.5), (10, 2.5), (15, 2.5)):
        seen = seen.measured(step, loss, steps=50, patience=3)
    assert seen.scale == 1 / 8


def test_the_best_rows_are_kept_not_the_last() -> None:
    seen = TuningProgress()
    for step, loss in ((0, 3.0), (5, 2.0), (10, 2.5), (15, 2.4)):
        seen = seen.measured(step, loss, steps=50, patience=2)
    assert (seen.best_step, seen.best_loss, seen.worse, seen.finished) == (5, 2.0, 2, True)


def test_every_row_can_be_tuned_and_reserved_ones_stay(pair: Pair, texts: Path, tmp_path: Path) -> None:
    base = pair("roberta")[0]
    quick = Recipe(steps=12, every=12, lr=0.03)
    result = tune_rows(
        base, str(texts), aim=Aim(rows="all", window=8 + 2), recipe=quick, out=tmp_path / "run"
    )
    old, new = read(base).table(), read(tmp_path / "run" / "model").table()
    assert old.first_row == 2
    assert np.array_equal(old.rows[:2], new.rows[:2])
    assert (old.rows[2:] != new.rows[2:]).any(axis=1).all()
    assert result["gains"][0]["positions"] == [0, OLD]


def test_half_precision_tables_stay_so(
    write_base: Callable[[str], Path], texts: Path, tmp_path: Path
) -> None:
    import transformers

    base = write_base("causal-lm")
    half = transformers.GPT2LMHeadModel.from_pretrained(base, dtype=torch.bfloat16)
    half.save_pretrained(base)
    quick = Recipe(steps=8, every=8, lr=0.1, precision="bfloat16")
    result = tune_rows(base, str(texts), aim=Aim(trained_length=10), recipe=quick, out=tmp_path / "run")
    old, new = read(base).table(), read(tmp_path / "run" / "model").table()
    assert (old.dtype, new.dtype) == ("BF16", "BF16")
    assert np.array_equal(old.rows[:10], new.rows[:10])
    assert not np.array_equal(old.rows[10:], new.rows[10:])
    assert result["design"]["precision"] == "bfloat16"


_KILLED = """
import os, sys
from milepost.tuning.training.training import Recipe
from milepost.tuning.tune import tune_rows

def end_at(last):
    def look(stage, done, total, loss):
        if (stage, done) == last:
            os.kill(os.getpid(), 9)
    return look

for name, last in (("middle", ("train", 6)), ("last", ("measure", 2))):
    if not (child := os.fork()):
        recipe = Recipe(steps=8, every=4, lr=0.03)
        tune_rows(sys.argv[1], sys.argv[2], recipe=recipe, out=f"{sys.argv[3]}/{name}", on_progress=end_at(last))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 9
"""


@pytest.mark.crash
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot fork")
def test_a_run_that_is_killed_ends_in_the_same_bytes(pair: Pair, texts: Path, tmp_path: Path) -> None:
    model, recipe = pair("causal-lm")[1], Recipe(steps=8, every=4, lr=0.03)
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-W", "ignore", "-c", _KILLED, str(model), str(texts), str(tmp_path)]
    subprocess.run(command, env={**os.environ, **threads}, check=True)
    steps = [TuningState.read(tmp_path / name) for name in ("middle", "last")]
    assert [state.progress.step for state in steps if state] == [4, 8]
    tune_rows(model, str(texts), recipe=recipe, out=tmp_path / "whole")
    whole = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    assert len(whole) > 6
    for name in ("middle", "last"):
        tune_rows(model, str(texts), recipe=recipe, out=tmp_path / name)
        for path in whole:
            assert (
                tmp_path / name / path.relative_to(tmp_path / "whole")
            ).read_bytes() == path.read_bytes(), path


def test_a_folder_of_another_design_or_of_other_things_is_refused(
    pair: Pair, texts: Path, tmp_path: Path
) -> None:
    model, quick = pair("causal-lm")[1], Recipe(steps=1, every=1)
    tune_rows(model, str(texts), recipe=quick, out=tmp_path / "run")
    with pytest.raises(FolderError, match=r"lr: 0.001 there, 0.5 here; steps: 1 there, 2 here") as caught:
        tune_rows(model, str(texts), recipe=Recipe(steps=2, every=1, lr=0.5), out=tmp_path / "run")
    assert caught.value.exit_code == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("dear")
    with pytest.raises(FolderError, match="holds other things"):
        tune_rows(model, str(texts), recipe=quick, out=tmp_path / "other")


@pytest.mark.parametrize("options", [{}, {"save": "patch"}, {"dry_run": True}])
def test_a_run_folder_in_the_model_is_refused_before_training(
    options: dict[str, Any], pair: Pair, texts: Path
) -> None:
    model = pair("causal-lm")[1]
    before = sorted(model.rglob("*"))
    with pytest.raises(FolderError, match="lies in the source"):
        tune_rows(model, str(texts), recipe=QUICK, out=model / "run", **options)
    assert sorted(model.rglob("*")) == before


def test_a_state_that_was_changed_is_refused(tmp_path: Path) -> None:
    TuningState(TuningProgress(step=3), {"rows": torch.ones(4, 2)}).write(tmp_path)
    found = TuningState.read(tmp_path)
    assert found is not None
    assert found.progress.step == 3
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x41")
    with pytest.raises(FolderError, match="its hash is another"):
        TuningState.read(tmp_path)


def test_a_dry_run_writes_nothing(pair: Pair, texts: Path, tmp_path: Path) -> None:
    result = tune_rows(pair("causal-lm")[1], str(texts), out=tmp_path / "run", dry_run=True)
    assert not result["written"]
    assert list(tmp_path.iterdir()) == []
    jsonschema.Draft202012Validator(read_schema("tune")).validate(result)


@pytest.mark.parametrize(
    ("aim", "error", "match"),
    [
        (Aim(rows="some"), OptionError, "invalid value for rows"),
        (Aim(trained_length=99), OptionError, "no new rows"),
        (Aim(window=49), OptionError, "does not fit"),
        (Aim(window=3), OptionError, "too short"),
        (Aim(tensor="nothing"), MilepostError, "no such position table"),
    ],
)
def test_what_cannot_be_tuned_is_refused_and_nothing_is_written(
    aim: Aim, error: type[MilepostError], match: str, pair: Pair, texts: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=match):
        tune_rows(pair("causal-lm")[1], str(texts), aim=aim, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_too_few_documents_that_reach_the_rows_are_refused(pair: Pair, texts: Path, tmp_path: Path) -> None:
    for index in range(0, 40, 8):  # the short ones
        (tmp_path / f"{index}.txt").write_text((texts / f"{index}.txt").read_text())
    with pytest.raises(DataError, match="too few documents") as caught:
        tune_rows(pair("causal-lm")[1], str(tmp_path), dry_run=True)
    assert "0 of 5 different documents go past position 16" in caught.value.got


def test_a_model_without_a_record_must_be_told_what_was_trained(pair: Pair, texts: Path) -> None:
    with pytest.raises(OptionError, match="which rows are new is not known"):
        tune_rows(pair("causal-lm")[0], str(texts), dry_run=True)


@pytest.mark.parametrize("change", [{"steps": 0}, {"lr": float("nan")}, {"precision": "half"}, {"seed": -1}])
def test_a_recipe_out_of_its_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Recipe(**change)


def test_a_loss_that_is_no_number_ends_the_run(
    pair: Pair, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "window_losses", lambda *_: torch.full((3,), float("nan")))
    with pytest.raises(TrialFailed, match="no number"):
        tune_rows(pair("causal-lm")[1], str(texts), out=tmp_path / "run")


class Fixed:
    """A gauge whose answers are given."""

    first = ("loss", 4, 8)

    def __init__(self, documents: list[list[gains.Values]]) -> None:
        self.documents, self.original = documents, torch.zeros(1)

    def measure(self, tables: object, tokens: object, index: int) -> list[gains.Values]:
        return self.documents[index]


def judge(*pairs: tuple[float, float], metric: str = "loss") -> list[dict[str, Any]]:
    keys = ("loss", 4, 8), (metric, 0, 4), (metric, 4, 6)
    documents = [[dict.fromkeys(keys, before), dict.fromkeys(keys, after)] for before, after in pairs]
    return measure_gains(Fixed(documents), torch.ones(1), documents, lambda *_: None)  # type: ignore[arg-type]


def test_gains_name_better_worse_undecided_and_too_few() -> None:
    down = [(2.0, 1.0), (2.1, 1.2), (2.2, 1.1), (2.3, 1.25)]
    up = [(after, before) for before, after in down]
    assert [claim["verdict"] for claim in judge(*down)] == ["better"] * 3
    assert {claim["verdict"] for claim in judge(*up)} == {"worse"}
    assert [claim["verdict"] for claim in judge(*up, metric="agreement")] == ["worse", "better", "better"]
    assert {claim["verdict"] for claim in judge((2.0, 1.9), (2.0, 2.1), (2.0, 1.7))} == {"undecided"}
    assert {claim["verdict"] for claim in judge(*down[:2])} == {"too_few_documents"}


def test_what_decides_stands_by_itself_and_the_others_are_corrected() -> None:
    first, *others = judge((2.0, 1.0), (2.1, 1.2), (2.2, 1.1), (2.3, 1.25))
    assert first["p_adjusted"] == first["p"]
    assert [claim["p_adjusted"] for claim in others] == pytest.approx([2 * first["p"]] * 2)
