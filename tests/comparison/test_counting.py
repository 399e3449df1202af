"""Which rows training used is known of every kept model, however it was trained and whenever it was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import nn

import milepost
from milepost.api.compare import compare
from milepost.comparison import Model
from milepost.comparison.design import Design, Trial
from milepost.comparison.trials.model import build_model
from milepost.comparison.trials.run import _lasting
from milepost.encodings import LearnedPositions
from milepost.tables import read
from milepost.tasks import CausalLM, Options

STEPS, LENGTH, ROWS = 5, 8, 12
USED = [STEPS] * LENGTH + [0] * (ROWS - LENGTH)
SMALL: dict[str, Any] = {
    "seeds": 2,
    "train_length": LENGTH,
    "lengths": (LENGTH,),
    "workers": 1,
    "layers": 1,
    "dim": 16,
    "heads": 2,
    "steps": STEPS,
    "batch": 4,
}


def kept(folder: Path) -> list[Path]:
    found = sorted(folder.glob("trials/*/model"))
    assert len(found) == 2
    return found


@pytest.mark.parametrize("count", ["on", "off"])
def test_a_model_that_is_kept_by_a_later_call_knows_its_rows(count: str, tmp_path: Path) -> None:
    spec = f"learned(rows={ROWS},count={count})"
    compare(**SMALL, encodings=spec, out=tmp_path)
    compare(**SMALL, encodings=spec, out=tmp_path, keep_models=True)
    for model in kept(tmp_path):
        assert read(model).table().trained_counts.tolist() == USED
        tensors = load_file(model / "model.safetensors")
        assert any(key.endswith("trained_counts") for key in tensors) == (count == "on")
    [finding] = [
        one for one in milepost.inspect(kept(tmp_path)[0])["tables"][0]["findings"] if one["code"] == "MP201"
    ]
    assert finding["status"] == "issue"
    assert f"{LENGTH}" in finding["where"]


@pytest.mark.parametrize(
    "scale", [{"batch_seeds": 2}, {"processes_per_trial": 2}], ids=["batch-seeds", "ddp"]
)
@pytest.mark.slow
def test_trials_that_are_spread_count_like_one_alone(scale: dict[str, int], tmp_path: Path) -> None:
    compare(**SMALL, encodings=f"learned(rows={ROWS})", out=tmp_path, keep_models=True, **scale)
    for model in kept(tmp_path):
        assert read(model).table().trained_counts.tolist() == USED


def test_every_buffer_of_the_state_dict_is_kept_with_the_weights() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), LearnedPositions(4, 2))
    model.register_buffer("scratch", torch.zeros(1), persistent=False)
    names = {name for name, _ in _lasting(model)}
    assert {"1.running_mean", "1.running_var", "1.num_batches_tracked", "0.weight"} <= names
    assert "scratch" not in names


def test_counting_changes_no_state_dict() -> None:
    data = "builtin:python-docs"
    task = CausalLM.open(data, Options())
    trial = Trial(
        Design("causal-lm", data, task.sha256, 8, model=Model(layers=1, dim=16, heads=2)), "learned", 0
    )
    model = build_model(trial, task)
    assert "transformer.wpe.trained_counts" not in model.state_dict()
    assert any(name.endswith("trained_counts") for name, _ in model.named_buffers())


@pytest.mark.parametrize(
    "stored", ["[1, 2]", '["a", "b", "c", "d"]', "[1.5, 1, 1, 1]", "[-1, 0, 0, 0]", "3", "null"]
)
def test_counts_that_do_not_fit_the_table_are_left_out(stored: str, tmp_path: Path) -> None:

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_positions": 4}))
    save_file({"transformer.wpe.weight": np.zeros((4, 2), np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "trained_counts.json").write_text(f'{{"transformer.wpe.weight": {stored}}}')
    assert read(tmp_path).table().trained_counts is None
    (tmp_path / "trained_counts.json").write_text('{"transformer.wpe.weight": [3, 0, 1, 2]}')
    assert read(tmp_path).table().trained_counts.tolist() == [3, 0, 1, 2]
