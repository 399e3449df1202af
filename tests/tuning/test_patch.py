"""Trained rows carried to the model that they belong to, and to no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

import milepost
from milepost.errors import DataError, FolderError, OptionError, PatchRefused
from milepost.reporting import read_schema
from milepost.tables import read
from milepost.tuning.patch import TUNING, Patch

OLD, NEW = 16, 48
Run = tuple[Path, Path, Path]


@pytest.fixture(scope="module", params=["tile", "linear"])
def run(
    request: pytest.FixtureRequest,
    pair: Callable[..., tuple[Path, Path]],
    texts: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """The original, the extended model, and the folder of its run."""
    base, longer = pair("causal-lm", request.param)
    folder = tmp_path_factory.mktemp("runs") / "run"
    milepost.tune(longer, str(texts), steps=6, every=6, lr=0.03, out=folder)
    return base, longer, folder


def same(one: Path, other: Path) -> bool:
    old, new = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return old.keys() == new.keys() and all(old[key].tobytes() == new[key].tobytes() for key in old)


@pytest.mark.parametrize("which", [0, 1])
def test_the_original_and_the_extended_model_become_the_tuned_one(
    which: int, run: Run, tmp_path: Path
) -> None:
    result = milepost.patch(run[which], run[2] / "patch.safetensors", out=tmp_path / "new")
    tuned = run[2] / "model"
    assert same(tmp_path / "new", tuned)
    assert json.loads((tmp_path / "new" / "config.json").read_text()) == json.loads(
        (tuned / "config.json").read_text()
    )
    assert (tmp_path / "new" / "tokenizer_config.json").read_bytes() == (
        tuned / "tokenizer_config.json"
    ).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (result["from_length"], result["to_length"]) == ((OLD, NEW)[which], NEW)
    assert {check["status"] for check in result["checks"]} == {"passed"}
    jsonschema.Draft202012Validator(read_schema("patch")).validate(result)


def test_a_patch_holds_new_rows_alone_where_old_ones_were_kept(run: Run) -> None:
    patch = Patch.read(run[2] / "patch.safetensors")
    assert patch.begin == (OLD if patch.method == "tile" else 0)
    assert len(patch.rows) == NEW - patch.begin
    assert (run[2] / "patch.safetensors").stat().st_size < (run[1] / "model.safetensors").stat().st_size


@pytest.mark.parametrize("which", [0, 1])
def test_a_model_in_memory_becomes_the_tuned_one(which: int, run: Run) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(run[which])
    milepost.patch(model, run[2] / "patch.safetensors")
    wanted = transformers.GPT2LMHeadModel.from_pretrained(run[2] / "model")
    tokens = torch.arange(5, 25).repeat(3)[None, :NEW]
    assert torch.equal(model(tokens).logits, wanted(tokens).logits)
    assert model.config.milepost["tuning"] == wanted.config.milepost["tuning"]


def change(source: Path, folder: Path, key: str, row: int) -> Path:
    shutil.copytree(source, folder)
    held = load_file(folder / "model.safetensors")
    held[key] = held[key].copy()
    held[key][row] += 1
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_another_base_is_refused_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    base, longer, folder = run
    patch = folder / "patch.safetensors"
    for index, source in enumerate((base, longer)):
        other = change(source, tmp_path / f"weights{index}", "transformer.h.0.mlp.c_fc.weight", 0)
        with pytest.raises(PatchRefused, match=r"c_fc.weight' is another") as caught:
            milepost.patch(other, patch, out=tmp_path / "new")
        assert caught.value.exit_code == 3
        assert len(str(caught.value).splitlines()) == 3
    if Patch.read(patch).begin:
        other = change(longer, tmp_path / "rows", "transformer.wpe.weight", 3)
        with pytest.raises(PatchRefused, match=r"positions 0 to 15 .* are others"):
            milepost.patch(other, patch, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_base_in_memory_is_refused_and_as_it_was(run: Run) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(run[0])
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight += 1
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(PatchRefused, match="is another"):
        milepost.patch(model, run[2] / "patch.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(OptionError, match="in place"):
        milepost.patch(model, run[2] / "patch.safetensors", out="x")


def test_a_longer_model_and_one_of_another_type_are_refused(run: Run, tmp_path: Path) -> None:
    patch = run[2] / "patch.safetensors"
    milepost.extend(run[1], to=NEW + 2, method="tile", out=tmp_path / "longer")
    with pytest.raises(PatchRefused, match="50 positions"):
        milepost.patch(tmp_path / "longer", patch)
    shutil.copytree(run[1], tmp_path / "half")
    transformers.GPT2LMHeadModel.from_pretrained(run[1], dtype=torch.float16).save_pretrained(
        tmp_path / "half"
    )
    with pytest.raises(PatchRefused, match="F16"):
        milepost.patch(tmp_path / "half", patch)


def test_an_output_that_exists_is_refused(run: Run) -> None:
    with pytest.raises(FolderError):
        milepost.patch(run[0], run[2] / "patch.safetensors", out=run[1])


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"begin": -1},
        {"length": 3},
        {"begin": "x"},
        {"base_tensors": []},
        {"record": 3},
        {"record": {}},
        {"method": 1},
    ],
)
def test_a_malformed_patch_is_refused(facts: dict[str, Any], run: Run, tmp_path: Path) -> None:
    patch = Patch.read(run[2] / "patch.safetensors")
    values = {
        name: getattr(patch, name) for name in patch.__dataclass_fields__ if name not in ("rows", "dtype")
    }
    metadata = {"format": "milepost table patch 1", "patch": json.dumps({**values, **facts} if facts else {})}
    save_file({"rows": patch.rows}, tmp_path / "patch.safetensors", metadata)
    with pytest.raises(DataError, match="cannot be used"):
        milepost.patch(run[0], tmp_path / "patch.safetensors", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_patch_puts_nothing_but_lengths_into_a_configuration(run: Run, tmp_path: Path) -> None:
    patch = Patch.read(run[2] / "patch.safetensors")
    replace(patch, record={**patch.record, "encoding": "none"}).write(tmp_path / "patch.safetensors")
    with pytest.raises(DataError, match="cannot be used"):
        Patch.read(tmp_path / "patch.safetensors")


def test_a_model_is_no_patch(run: Run) -> None:
    for other in (run[1] / "model.safetensors", run[2] / "state.safetensors"):
        with pytest.raises(DataError, match="not a table patch"):
            milepost.patch(run[0], other)


def test_values_of_a_patch_survive_the_file_in_every_format(tmp_path: Path) -> None:
    rows = np.array([[0.5, -1.25], [3.0, 0.0]], np.float32)
    record = {"tuning": dict.fromkeys(TUNING, 1), "trained_length": 4, "tuned_length": 4}
    for dtype in ("F32", "F16", "BF16"):
        Patch("k", rows, dtype, 2, 4, "tile", record, "a", {}).write(tmp_path / "p.safetensors")
        found = Patch.read(tmp_path / "p.safetensors")
        assert (found.dtype, found.rows.tolist()) == (dtype, rows.tolist())
        assert read(tmp_path / "p.safetensors", tensor="rows", first_row=0).table().dtype == dtype
