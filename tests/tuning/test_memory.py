"""A model in memory against the same model extended on disk."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from milepost.errors import ExtendRefused, MilepostError, OptionError
from milepost.tuning.extension import extend
from milepost.tuning.reload import _inputs, _outputs

sys.path.insert(0, str(Path(__file__).parents[1] / "extension"))  # the models are a module beside those tests
from tiny_models import TEXT, settings, write

KINDS = [
    "bert",
    "roberta",
    "mpnet",
    "distilbert",
    "longformer",
    "luke",
    "gpt2",
    "gpt_neo",
    "openai-gpt",
    "opt",
    "bart",
    "mra",
    "clip_text_model",
]


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(request.param, tmp_path_factory.mktemp("memory") / request.param)


def load(folder: Path) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoModel.from_pretrained(folder).eval()


def test_a_model_in_memory_becomes_what_its_folder_becomes(folder: Path, tmp_path: Path) -> None:
    to = TEXT[folder.name][1]
    model = load(folder)
    short = _inputs(model, TEXT[folder.name][0], "text")
    before = _outputs(model, short)
    result = extend(model, to=to)
    assert result["to_length"] == to
    assert all(map(torch.equal, before, _outputs(model, short)))
    on_disk = extend(folder, to=to, out=tmp_path / "new")
    assert {change["name"] for change in on_disk["changes"] if change["kind"] == "table"} == {
        change["name"] for change in result["changes"] if change["kind"] == "table"
    }
    other = load(tmp_path / "new")
    long = _inputs(other, to, "text")
    for one, again in zip(_outputs(model, long), _outputs(other, long), strict=True):
        torch.testing.assert_close(one, again)
    model.save_pretrained(tmp_path / "saved")
    for one, again in zip(_outputs(model, long), _outputs(load(tmp_path / "saved"), long), strict=True):
        torch.testing.assert_close(one, again)


def test_a_model_that_is_refused_is_as_it_was(tmp_path: Path) -> None:
    model = load(write("bert", tmp_path / "bert"))
    config, state = model.config.to_dict(), copy.deepcopy(model.state_dict())
    for options in ({"to": 5}, {"to": 500}, {"to": 50, "method": "bicubic"}, {"to": 50, "tensor": "x"}):
        with pytest.raises(MilepostError):
            extend(model, **options)
    with pytest.raises(OptionError, match="in place"):
        extend(model, to=50, out=tmp_path / "new")
    with pytest.raises(OptionError, match="no model"):
        extend(3, to=50)  # type: ignore[arg-type]
    assert model.config.to_dict() == config
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_images_and_rotary_models_in_memory_are_refused() -> None:
    vit = transformers.AutoModel.from_config(CONFIG_MAPPING["vit"](**settings("vit")))
    with pytest.raises(ExtendRefused, match="on disk"):
        extend(vit, to="64x96")
    llama = transformers.AutoModel.from_config(CONFIG_MAPPING["llama"](**settings("llama")))
    with pytest.raises(ExtendRefused, match="rope_parameters"):
        extend(llama, to=500)


def test_half_precision_and_frozen_tables_stay_so(tmp_path: Path) -> None:
    model = load(write("gpt2", tmp_path / "gpt2")).to(torch.bfloat16)
    old = model.wpe.weight.detach().clone()
    model.wpe.weight.requires_grad_(False)
    extend(model, to=50)
    assert model.wpe.weight.dtype == torch.bfloat16
    assert not model.wpe.weight.requires_grad
    assert model.wpe.num_embeddings == 50
    assert torch.equal(model.wpe.weight[: len(old)], old)
