"""Methods of extension of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

import milepost
from milepost.cli import cli
from milepost.errors import ExtendRefused, UnknownName
from milepost.extension.methods import PositionRule, build_method, register_method
from milepost.plugins import complete, load_imports

FILE = Path(__file__).parent / "package" / "src" / "milepost_example" / "last_row.py"
ROWS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    sizes = '"n_embd": 8, "n_head": 2, "n_layer": 1'
    (folder / "config.json").write_text(f'{{"model_type": "gpt2", "n_positions": 40, {sizes}}}')
    save_file({"wpe.weight": ROWS}, folder / "model.safetensors")
    return folder


def test_a_method_of_a_file_extends_a_model_with_its_proofs(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"method.*\n.*last-row\n.*--import FILE\.py"):
        milepost.extend(model, to=60, method="last-row", out=tmp_path / "out")
    result = milepost.extend(model, to=60, method="last-row", imports=FILE, out=tmp_path / "out")
    assert {check["status"] for check in result["checks"]} == {"passed"}
    made = load_file(tmp_path / "out" / "model.safetensors")["wpe.weight"]
    assert (made[:40] == ROWS).all() and (made[40:] == ROWS[-1]).all()


def test_the_command_line_takes_it_too(model: Path, tmp_path: Path) -> None:
    words = ["extend", str(model), "--to", "60", "--method", "last-row", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(cli, [*words, "--import", str(FILE), "--quiet"]).exit_code == 0
    made = load_file(tmp_path / "out" / "model.safetensors")["wpe.weight"]
    assert (made[40:] == ROWS[-1]).all()


def test_what_was_measured_is_kept_under_the_hash_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the cache differs between versions of a method's file, and is found again for the same one."""
    from milepost.tuning.selection import cache, evaluation

    monkeypatch.setattr("milepost.tuning.training.checkpoint.digest", lambda facts, state: facts)
    subject = SimpleNamespace(
        kind="causal-lm", pooling=None, length=8, device="cpu", model=torch.nn.Identity()
    )
    reading: Any = SimpleNamespace(subject=subject, texts=[], seed=0)
    outcome = evaluation.Outcome({}, np.zeros(1), np.zeros(1))
    keys = []
    for text in (FILE.read_text("utf-8"), FILE.read_text("utf-8") + "# changed\n", FILE.read_text("utf-8")):
        (tmp_path / "last_row.py").write_text(text)
        code = load_imports(tmp_path / "last_row.py")
        code = complete(code, [type(build_method("last-row")), type(build_method("tile"))])
        keys.append(cache.Cache(tmp_path, reading, outcome, to=9, tensor=None, code=code)._path("last-row"))
    assert keys[0] == keys[2] != keys[1]


def test_a_position_rule_that_no_loader_knows_is_refused(model: Path, tmp_path: Path) -> None:
    @register_method("every-other")
    @dataclass(frozen=True)
    class EveryOther(PositionRule):
        guarantee = source = "none"
        not_a_candidate = "it is a rule"

        def positions(self, length, rows):
            return np.arange(length) // 2

    with pytest.raises(
        ExtendRefused, match=r"does not know this position rule\n.*every-other\n.*group, recur"
    ):
        milepost.extend(model, to=60, method="every-other", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
