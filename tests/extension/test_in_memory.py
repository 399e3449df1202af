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

from milepost.api.extend import extend
from milepost.errors import ExtendRefused, MilepostError, OptionError
from milepost.extension.reload_worker import _inputs, _outputs

sys.path.insert(0, str(Path(__file__).parents[1] / "extension"))  # the models are a module beside those tests
from tiny_models import IMAGES, TEXT, settings, write

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


@pytest.mark.parametrize("kind", ["prophetnet", "ibert", "big_bird", "gpt_neo"])
def test_what_modules_keep_of_a_length_follows(kind: str, tmp_path: Path) -> None:
    """ProphetNet clamps positions by a number of its own, BigBird draws its random blocks by one."""
    write(kind, tmp_path / "old")
    model = load(tmp_path / "old")
    extend(model, to=50)
    extend(tmp_path / "old", to=50, out=tmp_path / "new")
    there = dict(load(tmp_path / "new").named_modules())
    kept = {name: plain(module) for name, module in model.named_modules()}
    assert kept == {name: plain(module) for name, module in there.items()}


def plain(module: torch.nn.Module) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if isinstance(value, int) and name[0] != "_"}


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


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_model_in_memory_becomes_what_its_folder_becomes(kind: str, tmp_path: Path) -> None:
    folder = write(kind, tmp_path / kind)
    model, to = load(folder), "64x96" if kind in ("vit", "yolos") else 64
    pixels = torch.randn(
        2, 3, *((64, 96) if to != 64 else (64, 64)), generator=torch.Generator().manual_seed(0)
    )
    result = extend(model, to=to)
    assert (result["unit"], result["from_length"]) == ("pixels", [32, 48] if to != 64 else [32, 32])
    extend(folder, to=to, out=tmp_path / "new")
    model.save_pretrained(tmp_path / "saved")
    found = _outputs(model, {"pixel_values": pixels})
    for other in (load(tmp_path / "new"), load(tmp_path / "saved")):
        for one, again in zip(found, _outputs(other, {"pixel_values": pixels}), strict=True):
            torch.testing.assert_close(one, again)


def test_a_whole_clip_in_memory_grows_the_half_that_is_meant(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(
        text_config=small | {"vocab_size": 40, "max_position_embeddings": 20, "eos_token_id": 2},
        vision_config=small | {"image_size": 32, "patch_size": 8}, projection_dim=8,
    )  # fmt: skip
    model = transformers.CLIPModel(config).eval()
    extend(model, to="64x64")
    assert model.config.vision_config.image_size == model.vision_model.embeddings.image_size == 64
    extend(model, to=50, method="hierarchical")
    inputs = {"input_ids": torch.ones(1, 50, dtype=torch.int64), "pixel_values": torch.zeros(1, 3, 64, 64)}
    assert all(bool(value.isfinite().all()) for value in _outputs(model, inputs))


def test_an_image_model_that_was_changed_by_hand_is_refused_and_as_it_was() -> None:
    model = transformers.AutoModel.from_config(CONFIG_MAPPING["vit"](**settings("vit")))
    model.embeddings.patch_embeddings.image_size = (16, 16)
    rows = model.embeddings.position_embeddings
    with pytest.raises(ExtendRefused, match="not what its class makes it"):
        extend(model, to="64x96")
    assert model.embeddings.position_embeddings is rows
    assert model.config.image_size == [32, 48]


def test_rotary_models_in_memory_are_refused() -> None:
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


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("out", "new", "changed in place"),
        ("verify", "none", "nothing is written"),
        ("verify", "model", "nothing is written"),
        ("revision", "main", "only a Hub id"),
        ("first_row", 0, "its configuration says"),
        ("choose", "texts", "tokenizer of a folder"),
        ("candidates", "tile", "nothing is measured"),
        ("documents", 9, "nothing is measured"),
        ("objective", "causal-lm", "nothing is measured"),
        ("text_column", "text", "nothing is measured"),
        ("header", False, "--no-header"),
        ("seed", 1, "nothing is measured"),
        ("cache", "kept", "nothing is measured"),
        ("device", "cuda", "nothing is measured"),
    ],
)
def test_an_option_that_says_nothing_to_a_model_in_memory_is_named_with_the_reason(
    option: str, value: object, why: str
) -> None:
    model = transformers.AutoModel.from_config(CONFIG_MAPPING["gpt2"](**settings("gpt2")))
    rows = model.wpe.weight
    with pytest.raises(OptionError, match=why) as refused:
        extend(model, to=50, **{option: value})
    assert option.replace("_", "-") in str(refused.value).replace("_", "-")
    assert model.wpe.weight is rows


@pytest.mark.parametrize("method", ["tile", "group"])
def test_a_dry_run_in_memory_says_what_would_change_and_changes_nothing(method: str) -> None:
    model = transformers.AutoModel.from_config(CONFIG_MAPPING["gpt2"](**settings("gpt2")))
    rows, config = model.wpe.weight, model.config.to_dict()
    planned = extend(model, to=50, method=method, dry_run=True)
    assert planned["written"] is False
    assert model.wpe.weight is rows
    assert model.config.to_dict() == config
    assert extend(model, to=50, method=method) == planned | {"written": True}
