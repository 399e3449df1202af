"""Models with fixed sinusoids: further rows are those of the family's own code."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from milepost.api.extend import extend
from milepost.errors import DataError, ExtendRefused, OptionError
from milepost.extension.methods.sinusoid import Sinusoid
from milepost.extension.reload_worker import measure
from milepost.tables import read

sys.path.insert(0, str(Path(__file__).parents[1]))  # the models are a module beside the tests
from tiny_models import LENGTH, settings

TO = 50
SMALL = {"emb_dim": 16, "n_words": 40, "pad_index": 3, "bos_index": 0, "eos_index": 2, "unk_index": 1, "mask_index": 4, "d_model": 16,
         "attention_heads": 2, "dff": 16, "num_experts": 2, "encoder_sparse_step": 0, "decoder_sparse_step": 0,
         "block_size": 4, "num_global_tokens": 2}  # fmt: skip
STORED = {
    "distilbert": {"sinusoidal_pos_embds": True},
    "xlm": {"sinusoidal_embeddings": True},
    "flaubert": {"sinusoidal_embeddings": True},
    "marian": {},
    "pegasus": {},
}
COMPUTED = {"m2m_100": {}, "xglm": {"num_layers": 1}, "ctrl": {}, "nllb-moe": {}, "pegasus_x": {}}


def config_of(kind: str, **more: Any) -> transformers.PretrainedConfig:
    cls = CONFIG_MAPPING[kind]
    names = set(cls.__dataclass_fields__) | set(cls.attribute_map)
    known = {name: value for name, value in SMALL.items() if name in names}
    return cls(**(settings(kind) | known | STORED.get(kind, {}) | COMPUTED.get(kind, {}) | more))


def write(kind: str, folder: Path, dtype: torch.dtype = torch.float32, *, cls: Any = None) -> Path:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = cls._from_config if cls else transformers.AutoModel.from_config
        model = make(config_of(kind))
        model.to(dtype).save_pretrained(folder)
    return folder


def proved(old: Path, new: Path, result: dict[str, Any]) -> dict[str, str]:
    task = {"old_folder": str(old), "new_folder": str(new), "role": "text", "same_outputs": result["keeps_old_rows"],
            "old": result["from_length"], "new": result["to_length"]}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {check["name"]: check["status"] for check in measure(task)}


ALL_PASSED = {"reload": "passed", "old_outputs": "passed", "forward": "passed"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", STORED)
def test_stored_rows_are_those_that_transformers_makes(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    old, new = write(kind, tmp_path / "old", dtype), tmp_path / "new"
    result = extend(old, to=TO, out=new)
    assert (result["from_length"], result["to_length"]) == (LENGTH, TO)
    assert {check["status"] for check in result["checks"]} == {"passed"}
    fresh = transformers.AutoModel.from_config(config_of(kind, max_position_embeddings=TO)).to(dtype)
    state = fresh.state_dict()
    tables = read(new).tables
    assert tables
    for table in tables:
        made = state[table.key].float().numpy()
        assert made.shape[0] == TO
        np.testing.assert_array_equal(table.rows, made)
    assert proved(old, new, result) == ALL_PASSED


@pytest.mark.parametrize("kind", COMPUTED)
def test_what_the_model_computes_is_changed_in_the_configuration_alone(kind: str, tmp_path: Path) -> None:
    old, new = write(kind, tmp_path / "old"), tmp_path / "new"
    (old / "tokenizer_config.json").write_text('{"model_max_length": 20}')
    result = extend(old, to=TO, out=new)
    assert (result["from_length"], result["to_length"]) == (LENGTH, TO)
    assert (new / "model.safetensors").read_bytes() == (old / "model.safetensors").read_bytes()
    changed = {change["name"]: change["new"] for change in result["changes"] if change["kind"] == "field"}
    length = "n_positions" if kind == "ctrl" else "max_position_embeddings"
    assert (changed[length], changed["model_max_length"]) == (TO, TO)
    assert "failed" not in {check["status"] for check in result["checks"]}
    assert proved(old, new, result) == ALL_PASSED


def test_marian_for_translation_stores_no_table(tmp_path: Path) -> None:
    old, new = write("marian", tmp_path / "old", cls=transformers.MarianMTModel), tmp_path / "new"
    assert not read(old).tables
    result = extend(old, to=TO, out=new)
    assert proved(old, new, result) == ALL_PASSED
    assert "none is stored" in (new / "README.md").read_text()


def oracle(rows: int, dim: int) -> np.ndarray:
    """Vaswani et al. 2017, section 3.5: sin(pos / 10000^(2i/d)) at 2i, cos of the same at 2i + 1."""
    places, at = np.mgrid[:rows, :dim].astype(np.float64)
    angles = places / 10000.0 ** (2 * np.floor(at / 2) / dim)
    return np.where(at % 2 == 0, np.sin(angles), np.cos(angles))


@pytest.mark.parametrize(("rows", "dim"), [(37, 6), (20, 9)])
def test_both_layouts_are_the_papers_formula(rows: int, dim: int) -> None:
    expected = oracle(rows, dim)
    np.testing.assert_allclose(Sinusoid("interleaved").formula(rows, dim), expected, atol=1e-12)
    halves = np.concatenate([expected[:, 0::2], expected[:, 1::2]], axis=1)
    np.testing.assert_allclose(Sinusoid("halves").formula(rows, dim), halves, atol=1e-12)


def test_a_table_that_is_no_such_sinusoid_is_refused(tmp_path: Path) -> None:
    table = Sinusoid("halves").formula(20, 8)
    with pytest.raises(DataError, match="not the sinusoid"):
        Sinusoid("interleaved").apply(table, 30)
    old = write("marian", tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(
        json.dumps(config | {"model_type": "xlm", "sinusoidal_embeddings": True})
    )
    weights = load_file(old / "model.safetensors")
    save_file(
        {"position_embeddings.weight": weights["encoder.embed_positions.weight"]}, old / "model.safetensors"
    )
    with pytest.raises(DataError, match="not the sinusoid"):
        extend(old, to=TO, out=tmp_path / "new")


def test_methods_smaller_lengths_and_models_in_memory_are_refused(tmp_path: Path) -> None:
    for kind in ("marian", "m2m_100"):
        old = write(kind, tmp_path / kind)
        with pytest.raises(ExtendRefused, match="no method"):
            extend(old, to=TO, method="tile", out=tmp_path / "new")
        with pytest.raises(OptionError, match="not larger"):
            extend(old, to=LENGTH, out=tmp_path / "new")
    with pytest.raises(ExtendRefused, match="when it was built"):
        extend(transformers.AutoModel.from_config(config_of("ctrl")), to=TO)
    with pytest.raises(ExtendRefused, match="fixed sinusoids"):
        extend(write("fsmt", tmp_path / "fsmt"), to=TO, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_model_in_memory_gets_the_rows_of_its_folder(tmp_path: Path) -> None:
    model = transformers.AutoModel.from_config(config_of("pegasus")).eval()
    extend(model, to=TO)
    fresh = transformers.AutoModel.from_config(config_of("pegasus", max_position_embeddings=TO))
    for side in ("encoder", "decoder"):
        one, again = (getattr(each, side).embed_positions.weight for each in (model, fresh))
        assert torch.equal(one, again)
