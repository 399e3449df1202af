"""What a plan changes in a folder, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from milepost.errors import (
    DataError,
    ExtendRefused,
    FolderError,
    MilepostError,
    NoTable,
    OptionError,
    ProofFailed,
    UnknownFamily,
    UnsafeFile,
)
from milepost.extension.apply import apply_plan, describe_plan
from milepost.extension.plan import ExtensionPlan, plan_extension
from milepost.extension.proofs import ProofResult
from milepost.storage import disk
from milepost.tables import read

ROWS = 32
TABLE = "embeddings.position_embeddings.weight"


def draw(rows: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def make(
    folder: Path, config: dict[str, Any] | None, tensors: dict[str, np.ndarray], **documents: Any
) -> Path:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", "made by": "nobody"})
    for name, document in ({"config": config} | documents).items():
        if document is not None:
            (folder / f"{name}.json").write_text(json.dumps(document, indent=2))
    return folder


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    tensors = {"bert.a": draw(100), f"bert.{TABLE}": draw(ROWS), "bert.z": draw(60, seed=1)}
    return make(tmp_path / "bert", {"model_type": "bert", "max_position_embeddings": ROWS}, tensors)


def run(model: Path, out: Path, **options: Any) -> dict[str, Any]:
    return apply_plan(plan_extension(model, out=out, **options))


def document(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


# what changes


def test_every_file_that_states_a_length_states_the_new_one(bert: Path, tmp_path: Path) -> None:
    files = {
        "config.json": {"model_type": "bert", "max_position_embeddings": ROWS, "max_length": ROWS, "other": 1.0},
        "generation_config.json": {"max_length": ROWS, "top_k": 5},
        "tokenizer_config.json": {"model_max_length": 1e30, "max_length": 20, "name": "é\u202e"},
        "tokenizer.json": {"truncation": {"max_length": 16, "stride": 0}, "padding": {"strategy": {"Fixed": 16}}, "model": {"vocab": {"a": 0}}},
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
    }  # fmt: skip
    for name, content in files.items():
        (bert / name).write_text(json.dumps(content))
    run(bert, tmp_path / "new", to=70)
    new = {name: document(tmp_path / "new" / name) for name in files}
    record = new["config.json"].pop("milepost")
    assert new["config.json"] == {
        "model_type": "bert",
        "max_position_embeddings": 70,
        "max_length": 70,
        "other": 1.0,
    }
    assert new["generation_config.json"] == {"max_length": 70, "top_k": 5}
    assert new["tokenizer_config.json"] == {"model_max_length": 70, "max_length": 70, "name": "é\u202e"}
    assert new["tokenizer.json"]["truncation"] == {"max_length": 70, "stride": 0}
    assert new["tokenizer.json"]["padding"] == {
        "strategy": {"Fixed": 16}
    }  # or every text would be as long as the table
    assert new["sentence_bert_config.json"] == {"max_seq_length": 70, "do_lower_case": False}
    assert (record["trained_length"], record["tuned_length"]) == (ROWS, 24)
    assert record["extension"]["method"] == "hierarchical"


def test_a_length_that_is_not_the_limit_stays(bert: Path, tmp_path: Path) -> None:
    (bert / "generation_config.json").write_text('{"max_length": 20}')
    run(bert, tmp_path / "new", to=70)
    assert (tmp_path / "new" / "generation_config.json").read_text() == '{"max_length": 20}'


def test_all_other_bytes_of_a_json_file_stay(bert: Path, tmp_path: Path) -> None:
    (bert / "config.json").write_text('{ "max_position_embeddings":32 ,\n\t"x": 1.50, "model_type": "bert"}')
    run(bert, tmp_path / "new", to=70)
    text = (tmp_path / "new" / "config.json").read_text()
    assert text.startswith(
        '{ "max_position_embeddings":70 ,\n\t"x": 1.50, "model_type": "bert", "milepost": '
    )


def test_order_metadata_bytes_and_alignment_of_the_weights_are_kept(bert: Path, tmp_path: Path) -> None:
    old_path, new_path = bert / "model.safetensors", tmp_path / "new" / "model.safetensors"
    run(bert, tmp_path / "new", to=70)
    old, new = load_file(old_path), load_file(new_path)
    assert [new[key].tobytes() for key in ("bert.a", "bert.z")] == [
        old[key].tobytes() for key in ("bert.a", "bert.z")
    ]
    np.testing.assert_array_equal(new[f"bert.{TABLE}"][:ROWS], old[f"bert.{TABLE}"])
    with safe_open(old_path, "numpy") as one, safe_open(new_path, "numpy") as other:
        assert list(one.offset_keys()) == list(other.offset_keys())
        assert one.metadata() == other.metadata()
    starts = [8 + int.from_bytes(path.read_bytes()[:8], "little") for path in (old_path, new_path)]
    assert (starts[0] - starts[1]) % 4096 == 0


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_rows_are_written_in_the_format_they_came_in(dtype: str, tmp_path: Path) -> None:
    tensors = {"wpe.weight": draw(ROWS).astype(dtype)}
    model = make(tmp_path / "gpt2", {"model_type": "gpt2", "n_positions": ROWS, "n_ctx": ROWS}, tensors)
    run(model, tmp_path / "new", to=50)
    new = load_file(tmp_path / "new" / "model.safetensors")["wpe.weight"]
    assert new.dtype == dtype
    np.testing.assert_array_equal(new[:ROWS], tensors["wpe.weight"])
    config = document(tmp_path / "new" / "config.json")
    assert (config["n_positions"], config["n_ctx"]) == (50, 50)


def test_copies_in_other_formats_are_left_behind_and_named(bert: Path, tmp_path: Path) -> None:
    (bert / "onnx").mkdir()
    (bert / "checkpoint-500").mkdir()
    stale = [
        "pytorch_model.bin",
        "tf_model.h5",
        "model.onnx",
        "optimizer.pt",
        "onnx/model.onnx",
        "checkpoint-500/model.safetensors",
    ]
    for name in stale:
        (bert / name).write_bytes(b"old")
    save_file({f"bert.{TABLE}": draw(ROWS)}, bert / "copy.safetensors")
    save_file({"lora": draw(3)}, bert / "adapter.safetensors")
    (bert / "vocab.txt").write_text("a")
    (bert / "1_Dense").mkdir()
    (bert / "1_Dense" / "pytorch_model.bin").write_bytes(b"another module's")
    result = run(bert, tmp_path / "new", to=70)
    left = {change["file"] for change in result["changes"] if change["kind"] == "not_copied"}
    assert left == {
        "pytorch_model.bin",
        "tf_model.h5",
        "model.onnx",
        "optimizer.pt",
        "onnx",
        "checkpoint-500",
        "copy.safetensors",
    }
    files = {
        str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()
    }
    assert files == {
        "README.md",
        "config.json",
        "model.safetensors",
        "adapter.safetensors",
        "vocab.txt",
        "1_Dense/pytorch_model.bin",
    }


def test_a_transformer_one_folder_below_is_found(bert: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "1_Pooling").mkdir(parents=True)
    bert.rename(outer / "0_Transformer")
    (outer / "0_Transformer" / "tokenizer_config.json").write_text("{}")
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"},
        {"type": "Pooling", "path": "1_Pooling"},
    ]
    (outer / "modules.json").write_text(json.dumps(modules))
    (outer / "1_Pooling" / "config.json").write_text("{}")
    run(outer, tmp_path / "new", to=70)
    assert read(tmp_path / "new" / "0_Transformer").table().usable_length == 70
    assert document(tmp_path / "new" / "0_Transformer" / "tokenizer_config.json") == {"model_max_length": 70}
    assert (tmp_path / "new" / "1_Pooling" / "config.json").exists()


def test_image_sizes_change_in_both_files(tmp_path: Path) -> None:
    sizes = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    model = make(
        tmp_path / "vit", {"model_type": "vit", "image_size": 32, "patch_size": 8},
        {"embeddings.position_embeddings": draw(17)[None]}, preprocessor_config=sizes, processor_config={"image_processor": {"size": 32}},
    )  # fmt: skip
    run(model, tmp_path / "new", to="64x96")
    assert document(tmp_path / "new" / "config.json")["image_size"] == [64, 96]
    assert document(tmp_path / "new" / "preprocessor_config.json") == {
        "size": {"shortest_edge": 120}, "crop_size": {"height": 64, "width": 96},
    }  # fmt: skip
    assert document(tmp_path / "new" / "processor_config.json") == {
        "image_processor": {"size": {"height": 64, "width": 96}}
    }
    assert read(tmp_path / "new").table().grid == (8, 12)


def test_timm_and_open_clip_keep_their_lengths_elsewhere(tmp_path: Path) -> None:
    timm = {"architecture": "vit_tiny_patch8_32", "pretrained_cfg": {"input_size": [3, 32, 32]}}
    model = make(tmp_path / "timm", timm, {"pos_embed": draw(17)[None], "cls_token": draw(1)})
    run(model, tmp_path / "timm-new", to=64)
    assert document(tmp_path / "timm-new" / "config.json")["pretrained_cfg"] == {"input_size": [3, 64, 64]}
    clip = {
        "model_cfg": {
            "vision_cfg": {"image_size": 32, "patch_size": 16},
            "text_cfg": {"context_length": ROWS},
        }
    }
    tensors = {"positional_embedding": draw(ROWS), "visual.positional_embedding": draw(5)}
    model = make(tmp_path / "clip", None, tensors, open_clip_config=clip)
    run(model, tmp_path / "clip-new", to=70, method="keep(first=4)")
    new = document(tmp_path / "clip-new" / "open_clip_config.json")
    assert new["model_cfg"]["text_cfg"]["context_length"] == 70
    run(model, tmp_path / "clip-image", to=64, method="bicubic")
    assert (
        document(tmp_path / "clip-image" / "open_clip_config.json")["model_cfg"]["vision_cfg"]["image_size"]
        == 64
    )


def test_the_card_keeps_what_was_there_and_says_what_was_done(bert: Path, tmp_path: Path) -> None:
    (bert / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n\ntext\n")
    run(bert, tmp_path / "new", to=70, method="tile")
    card = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert card.startswith('---\nlicense: mit\nbase_model: "bert"\n---\n\n# Mine\n\ntext\n')
    assert "## Extended from 32 to 70 positions" in card
    assert "| method | `tile`" in card
    assert "kept tensors: passed" in card


def test_crop_lowers_every_limit(bert: Path, tmp_path: Path) -> None:
    (bert / "tokenizer_config.json").write_text('{"model_max_length": 32}')
    result = run(bert, tmp_path / "new", to=10, method="crop")
    assert result["keeps_old_rows"]
    assert read(tmp_path / "new").table().usable_length == 10
    assert document(tmp_path / "new" / "tokenizer_config.json")["model_max_length"] == 10
    assert document(tmp_path / "new" / "config.json")["milepost"]["trained_length"] == 10


def test_padding_to_a_fixed_length_never_grows(bert: Path, tmp_path: Path) -> None:
    data = {"padding": {"strategy": {"Fixed": 20}, "pad_id": 0}}
    (bert / "tokenizer.json").write_text(json.dumps(data))
    run(bert, tmp_path / "longer", to=70)
    assert document(tmp_path / "longer" / "tokenizer.json") == data
    run(bert, tmp_path / "shorter", to=10, method="crop")
    assert document(tmp_path / "shorter" / "tokenizer.json")["padding"]["strategy"] == {"Fixed": 10}


NYSTROMFORMER = {"model_type": "nystromformer", "max_position_embeddings": ROWS, "num_landmarks": 8}


@pytest.mark.parametrize(
    ("stated", "then"),
    [
        ({"segment_means_seq_len": ROWS}, 72),
        ({"segment_means_seq_len": ROWS, "num_landmarks": ROWS}, ROWS),  # attention is exact at every length
        ({"segment_means_seq_len": 16}, 72),
        ({}, 72),  # the class's 64
    ],
)
def test_nystromformers_segments_are_as_long_as_the_table(
    stated: dict[str, int], then: int, tmp_path: Path
) -> None:
    model = make(tmp_path / "old", NYSTROMFORMER | stated, {f"n.{TABLE}": draw(ROWS + 2)})
    run(model, tmp_path / "new", to=72)
    new = document(tmp_path / "new" / "config.json")
    assert (new["max_position_embeddings"], new["segment_means_seq_len"]) == (72, then)
    assert new["num_landmarks"] == stated.get("num_landmarks", 8)


def test_lengths_that_attention_cannot_be_cut_into_are_refused(tmp_path: Path) -> None:
    model = make(
        tmp_path / "n", NYSTROMFORMER | {"segment_means_seq_len": ROWS}, {f"n.{TABLE}": draw(ROWS + 2)}
    )
    with pytest.raises(OptionError, match="ask for 72"):
        plan_extension(model, to=70, out=tmp_path / "new")
    birds = {
        "model_type": "big_bird",
        "max_position_embeddings": ROWS,
        "block_size": 4,
        "num_random_blocks": 1,
    }
    model = make(tmp_path / "b", birds, {f"b.{TABLE}": draw(ROWS)})
    with pytest.raises(OptionError, match="ask for 72"):
        plan_extension(model, to=70, out=tmp_path / "new")
    (model / "config.json").write_text(json.dumps(birds | {"attention_type": "original_full"}))
    assert plan_extension(model, to=70, out=tmp_path / "new").target.new == 70


def vision_language(folder: Path, model_type: str) -> Path:
    config = {
        "model_type": model_type,
        "image_seq_length": 16,
        "text_config": {"model_type": "llama", "num_image_tokens": 16},
        "vision_config": {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8},
    }
    tensors = {"vision_tower.embeddings.position_embedding.weight": draw(17), "language_model.a": draw(3)}
    return make(folder, config, tensors, preprocessor_config={"image_seq_length": 16, "size": 32},
                processor_config={"num_image_tokens": 16, "image_seq_len": 9})  # fmt: skip


def test_counts_of_an_images_tokens_follow_its_patches(tmp_path: Path) -> None:
    run(vision_language(tmp_path / "old", "llava"), tmp_path / "new", to=64)
    config = document(tmp_path / "new" / "config.json")
    assert (config["image_seq_length"], config["text_config"]["num_image_tokens"]) == (64, 64)
    assert document(tmp_path / "new" / "preprocessor_config.json") == {"image_seq_length": 64, "size": 64}
    # nine is no number of patches, so it follows another rule
    assert document(tmp_path / "new" / "processor_config.json") == {
        "num_image_tokens": 64,
        "image_seq_len": 9,
    }


def test_models_that_cut_images_into_tiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExtendRefused, match="tiles"):
        plan_extension(vision_language(tmp_path / "old", "llava_next"), to=64, out=tmp_path / "new")


def test_timms_own_size_follows(tmp_path: Path) -> None:
    for number, (given, then) in enumerate([(32, 64), ([32, 32], [64, 64])]):
        timm = {"architecture": "vit_tiny_patch8_32", "pretrained_cfg": {"input_size": [3, 32, 32]},
                "model_args": {"img_size": given}}  # fmt: skip
        model = make(tmp_path / f"old{number}", timm, {"pos_embed": draw(17)[None], "cls_token": draw(1)})
        run(model, tmp_path / f"new{number}", to=64)
        assert document(tmp_path / f"new{number}" / "config.json")["model_args"] == {"img_size": then}


def test_a_weights_file_takes_the_documents_beside_it_and_nothing_else(bert: Path, tmp_path: Path) -> None:
    (bert / "other.safetensors").write_bytes(b"x")
    run(bert / "model.safetensors", tmp_path / "new", to=70)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }


def test_an_unknown_family_without_configuration_grows_the_table_that_is_named(tmp_path: Path) -> None:
    model = make(tmp_path / "m", None, {"pos": draw(ROWS), "w": draw(3)})
    run(model, tmp_path / "new", to=40, tensor="pos", first_row=2)
    rows = load_file(tmp_path / "new" / "model.safetensors")["pos"]
    assert rows.shape == (42, 8)
    np.testing.assert_array_equal(rows[:ROWS], draw(ROWS))


# buffers


def old_gpt(tmp_path: Path, kind: str = "gpt2", **more: np.ndarray) -> Path:
    name = "attn.attention.bias" if kind == "gpt_neo" else "attn.bias"
    tril = np.tril(np.ones((ROWS, ROWS), np.uint8))[None, None]
    field = "max_position_embeddings" if kind == "gpt_neo" else "n_positions"
    tensors = {"wpe.weight": draw(ROWS), f"h.0.{name}": tril, "h.0.attn.c_attn.bias": draw(1)[0], **more}
    return make(tmp_path / kind, {"model_type": kind, field: ROWS, "window_size": 4}, tensors)


def test_causal_masks_of_old_files_grow_with_the_table(tmp_path: Path) -> None:
    local = np.tril(np.ones((ROWS, ROWS), bool)) ^ np.tril(np.ones((ROWS, ROWS), bool), -4)
    model = old_gpt(tmp_path, "gpt_neo", **{"h.1.attn.attention.bias": local[None, None]})
    run(model, tmp_path / "new", to=50)
    new = load_file(tmp_path / "new" / "model.safetensors")
    np.testing.assert_array_equal(new["h.0.attn.attention.bias"][0, 0], np.tril(np.ones((50, 50), np.uint8)))
    wanted = np.tril(np.ones((50, 50), bool)) ^ np.tril(np.ones((50, 50), bool), -4)
    np.testing.assert_array_equal(new["h.1.attn.attention.bias"][0, 0], wanted)
    assert new["h.0.attn.c_attn.bias"].shape == (8,)


def test_position_and_segment_ids_grow_with_the_table(bert: Path, tmp_path: Path) -> None:
    tensors = load_file(bert / "model.safetensors")
    tensors["bert.embeddings.position_ids"] = np.arange(ROWS)[None]
    tensors["bert.embeddings.token_type_ids"] = np.zeros((1, ROWS), np.int64)
    save_file(tensors, bert / "model.safetensors")
    run(bert, tmp_path / "new", to=70)
    new = load_file(tmp_path / "new" / "model.safetensors")
    np.testing.assert_array_equal(new["bert.embeddings.position_ids"], np.arange(70)[None])
    assert new["bert.embeddings.token_type_ids"].shape == (1, 70)


def test_gradient_counts_stay_with_their_rows(bert: Path, tmp_path: Path) -> None:
    key = f"bert.{TABLE}".removesuffix("weight") + "trained_counts"
    save_file(load_file(bert / "model.safetensors") | {key: np.arange(ROWS)}, bert / "model.safetensors")
    run(bert, tmp_path / "kept", to=40)
    run(bert, tmp_path / "made", to=40, method="linear")
    assert read(tmp_path / "kept").table().trained_counts.tolist() == [*range(ROWS), *[0] * 8]
    assert read(tmp_path / "made").table().trained_counts.tolist() == [0] * 40


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("h.1.attn.bias", np.ones((1, 1, ROWS, ROWS), np.uint8)),
        ("h.1.attn.bias", np.tril(np.ones((1, 1, 9, 9), np.uint8))),
        ("h.1.attn.bias", np.zeros((1, 1, ROWS, ROWS), np.int16)),
    ],
)
def test_a_buffer_that_follows_no_rule_is_refused(key: str, value: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ExtendRefused, match="cannot follow the table"):
        plan_extension(old_gpt(tmp_path, **{key: value}), to=50, out=tmp_path / "new")


def test_position_ids_in_another_order_are_refused(bert: Path, tmp_path: Path) -> None:
    tensors = load_file(bert / "model.safetensors") | {
        "bert.embeddings.position_ids": np.arange(ROWS)[None, ::-1].copy()
    }
    save_file(tensors, bert / "model.safetensors")
    with pytest.raises(ExtendRefused, match="count up"):
        plan_extension(bert, to=50, out=tmp_path / "new")


# refusals


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"model_type": "llama", "max_position_embeddings": 100},
            '"factor": 5, "original_max_position_embeddings": 100',
        ),
        ({"model_type": "bloom"}, "ALiBi has no table"),
        ({"model_type": "t5"}, "no last position"),
        ({"model_type": "m2m_100"}, "sinusoids are computed"),
    ],
)
def test_models_without_a_table_are_refused_with_what_they_want_instead(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ExtendRefused) as caught:
        plan_extension(make(tmp_path / "m", config, {"w": draw(3)}), to=500)
    assert words in caught.value.fix
    assert caught.value.exit_code == 3


def refuse(model: Path, error: type[MilepostError], words: str, **options: Any) -> None:
    before = sorted(path.name for path in model.parent.iterdir())
    with pytest.raises(error) as caught:
        plan_extension(model, **({"to": 50, "out": model.parent / "new"} | options))
    assert words in str(caught.value)
    assert sorted(path.name for path in model.parent.iterdir()) == before


def test_rows_that_only_claim_to_be_a_sinusoid_are_refused(tmp_path: Path) -> None:
    config = {"model_type": "distilbert", "max_position_embeddings": ROWS, "sinusoidal_pos_embds": True}
    refuse(make(tmp_path / "m", config, {TABLE: draw(ROWS)}), DataError, "not the sinusoid")


def test_tables_that_cannot_grow_alone_are_refused(tmp_path: Path) -> None:
    config = {"model_type": "deberta", "max_position_embeddings": ROWS, "relative_attention": True}
    refuse(make(tmp_path / "m", config, {TABLE: draw(ROWS)}), ExtendRefused, "cannot grow by itself")
    canine = {"model_type": "canine", "num_hash_buckets": ROWS}
    key = "char_embeddings.char_position_embeddings.weight"
    refuse(make(tmp_path / "c", canine, {key: draw(ROWS)}), ExtendRefused, "cannot grow by itself")


def test_quantised_tables_are_refused(bert: Path) -> None:
    tensors = load_file(bert / "model.safetensors")
    save_file(tensors | {f"bert.{TABLE}_scale": draw(1)}, bert / "model.safetensors")
    refuse(bert, ExtendRefused, "is quantised")


def test_a_table_of_whole_numbers_is_refused(bert: Path) -> None:
    save_file({f"bert.{TABLE}": np.ones((ROWS, 8), np.int8)}, bert / "model.safetensors")
    refuse(bert, MilepostError, "floating-point")


def test_values_that_are_not_finite_are_refused(bert: Path) -> None:
    table = draw(ROWS)
    table[3, 1] = np.nan
    save_file({f"bert.{TABLE}": table}, bert / "model.safetensors")
    for method in ("hierarchical", "tile", "crop"):
        refuse(bert, DataError, "not finite", method=method, to=10 if method == "crop" else 50)


@pytest.mark.parametrize(
    "config", [{"model_type": "bert", "max_position_embeddings": ROWS + 1}, {"model_type": "bert"}]
)
def test_a_configuration_that_disagrees_with_the_table_is_sent_to_the_doctor(
    config: dict[str, Any], bert: Path
) -> None:
    (bert / "config.json").write_text(json.dumps(config))
    refuse(bert, DataError, "milepost doctor")


@pytest.mark.parametrize("to", [ROWS, ROWS - 1, 0, "many", "12x", (3, 4, 5), True, ROWS**2 + 1])
def test_a_target_that_is_none_is_refused(to: Any, bert: Path) -> None:
    refuse(bert, OptionError, "got", to=to)


def test_only_crop_makes_shorter(bert: Path) -> None:
    refuse(bert, OptionError, "makes a table shorter", to=50, method="crop")


def test_several_tables_that_could_be_meant_are_named(tmp_path: Path) -> None:
    config = {
        "model_type": "led", "max_encoder_position_embeddings": ROWS, "max_decoder_position_embeddings": 16, "attention_window": [4],
    }  # fmt: skip
    tensors = {"encoder.embed_positions.weight": draw(ROWS), "decoder.embed_positions.weight": draw(16)}
    model = make(tmp_path / "led", config, tensors)
    refuse(
        model,
        NoTable,
        "'encoder.embed_positions.weight' (encoder), 'decoder.embed_positions.weight' (decoder)",
        to=52,
    )
    refuse(model, OptionError, "ask for 52", tensor="encoder.embed_positions.weight")
    run(model, tmp_path / "new", to=52, tensor="encoder.embed_positions.weight")
    assert [len(table.rows) for table in read(tmp_path / "new").tables] == [52, 16]


def test_an_unknown_family_with_a_configuration_is_refused(tmp_path: Path) -> None:
    model = make(tmp_path / "m", {"model_type": "brand-new"}, {"pos": draw(ROWS)})
    refuse(model, UnknownFamily, "brand-new")
    refuse(model, ExtendRefused, "what else holds its length", tensor="pos", first_row=0)


def test_pickled_weights_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"x")
    refuse(tmp_path / "m", DataError, "no safetensors")


@pytest.mark.parametrize("size", ["50", (64, 60), "60x64"])
def test_images_want_whole_patches(size: Any, tmp_path: Path) -> None:
    config = {"model_type": "vit", "image_size": 32, "patch_size": 8}
    refuse(
        make(tmp_path / "vit", config, {"embeddings.position_embeddings": draw(17)[None]}),
        OptionError,
        "multiples of 8",
        to=size,
    )


@pytest.mark.parametrize("method", ["group", "recur"])
def test_rules_that_no_loader_reads_are_refused(method: str, tmp_path: Path) -> None:
    config = {"model_type": "longformer", "max_position_embeddings": ROWS, "pad_token_id": 1}
    model = make(tmp_path / "m", config, {TABLE: draw(ROWS)})
    refuse(model, ExtendRefused, "tile stores the rows", method=method)


@pytest.mark.parametrize("method", ["group", "recur"])
def test_a_rule_copies_the_weights_and_is_proved(method: str, bert: Path, tmp_path: Path) -> None:
    plan = plan_extension(bert, to=50, method=method, out=tmp_path / "new")
    assert not plan.contents.keys() & {"model.safetensors"}
    result = apply_plan(plan)
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == (bert / "model.safetensors").read_bytes()
    assert {check["status"] for check in result["checks"]} == {"passed"}
    assert "only `milepost.load` knows the rule" in (tmp_path / "new" / "README.md").read_text()


def test_an_output_that_exists_is_refused(bert: Path, tmp_path: Path) -> None:
    refuse(bert, FolderError, "it exists", out=tmp_path)
    refuse(bert, FolderError, "it is the source", out=bert)
    refuse(bert, FolderError, "lies in the source", out=bert / "new")
    os.link(bert / "model.safetensors", tmp_path / "hard")
    refuse(bert, FolderError, "a link of it", out=tmp_path / "hard")
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    refuse(bert, FolderError, "it exists", out=tmp_path / "dead")
    refuse(bert, FolderError, "Hub cache", out=tmp_path / "models--a--b" / "snapshots" / "new")


def test_a_disk_too_small_is_refused_before_anything_is_written(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: usage)
    refuse(bert, FolderError, "the disk is too small")


def nest(folder: Path, depth: int) -> None:
    folder.joinpath(*["d"] * depth).mkdir(parents=True)
    folder.joinpath(*["d"] * depth, "notes.txt").write_text("x")


def test_folders_nested_without_reason_are_refused(bert: Path, tmp_path: Path) -> None:
    nest(bert, 64)
    assert run(bert, tmp_path / "new", to=70)["written"]
    nest(bert, 65)
    with pytest.raises(UnsafeFile, match="nested too deep"):
        plan_extension(bert, to=70, out=tmp_path / "other")


def test_links_out_of_the_folder_are_refused(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (bert / "vocab.txt").symlink_to(tmp_path / "secret")
    refuse(bert, MilepostError, "link out of the model's folder")


# applying


def nothing_left(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if "milepost-tmp" in path.name or path.name == "new"]


def test_a_source_that_changes_after_the_plan_is_refused(bert: Path, tmp_path: Path) -> None:
    plan = plan_extension(bert, to=50, out=tmp_path / "new")
    (bert / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 33}')
    with pytest.raises(DataError, match="changed during the run"):
        apply_plan(plan)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.txt", "config.json"])
@pytest.mark.parametrize("rows", [False, True])
def test_a_byte_that_is_written_wrong_is_seen(
    file: str, rows: bool, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses a byte is played by a step between writing and proving."""
    (bert / "vocab.txt").write_text("a\nb\n")
    from milepost.extension import apply as applying

    prove = applying.prove_old_rows

    def spoil(plan: ExtensionPlan, folder: Path) -> ProofResult:
        path = folder / file
        content = bytearray(path.read_bytes())
        begin = (
            plan.contents["model.safetensors"].entries[f"bert.{TABLE}"].begin
            if rows and file.startswith("model")
            else -1
        )
        content[begin] ^= 1
        path.write_bytes(content)
        return prove(plan, folder)

    monkeypatch.setattr(applying, "prove_old_rows", spoil)
    with pytest.raises(ProofFailed):
        apply_plan(plan_extension(bert, to=50, out=tmp_path / "new"))
    assert nothing_left(tmp_path)


def test_an_output_that_comes_to_be_meanwhile_is_left_alone(bert: Path, tmp_path: Path) -> None:
    plan = plan_extension(bert, to=50, out=tmp_path / "new")
    (tmp_path / "new").mkdir()
    with pytest.raises(FolderError, match="came to be during the run"):
        apply_plan(plan)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_plan_is_described_without_writing(bert: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    described = describe_plan(plan_extension(bert, to=50, out=tmp_path / "new"))
    assert described["written"] is False
    assert sorted(tmp_path.rglob("*")) == before


def test_modes_follow_the_mask(bert: Path, tmp_path: Path) -> None:
    (bert / "config.json").chmod(0o600)
    old = os.umask(0o027)
    try:
        run(bert, tmp_path / "new", to=50)
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o640}
