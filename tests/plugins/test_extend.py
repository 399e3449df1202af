"""Methods of extension of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import milepost
from milepost.errors import ExtendRefused, UnknownName
from milepost.extension.methods import PositionRule, register_method
from milepost.plugins import load_imports

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
    load_imports(FILE)
    result = milepost.extend(model, to=60, method="last-row", out=tmp_path / "out")
    assert {check["status"] for check in result["checks"]} == {"passed"}
    made = load_file(tmp_path / "out" / "model.safetensors")["wpe.weight"]
    assert (made[:40] == ROWS).all() and (made[40:] == ROWS[-1]).all()


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
