"""Each check: where it fires, and where it stays silent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import milepost
from milepost.diagnostics.doctor import CHECKS, apply_fixes, diagnose, plan_fixes

sys.path.insert(0, str(Path(__file__).parent))  # the folders are a module beside the tests
from folders import BERT, GPT2, LLAMA, OPT, ROBERTA, ROWS, VIT, make_folder, of, statuses, table

TRUNCATION = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
FIXED = {"strategy": {"Fixed": 16}, "direction": "Right", "pad_id": 0}
LAYER = "h.0.attn"
PHI = LLAMA | {"hidden_size": 64, "num_attention_heads": 4, "original_max_position_embeddings": 1024}
LONGFORMER = ROBERTA | {"model_type": "longformer", "attention_window": [4, 8], "num_hidden_layers": 2}
LED = {
    "model_type": "led",
    "max_encoder_position_embeddings": ROWS,
    "max_decoder_position_embeddings": 10,
    "attention_window": [8],
    "encoder_layers": 1,
}
BIG_BIRD = BERT | {"model_type": "big_bird", "block_size": 2, "num_random_blocks": 1}
NYSTROMFORMER = BERT | {"model_type": "nystromformer", "segment_means_seq_len": ROWS, "num_landmarks": 8}
LLAVA = {
    "model_type": "llava",
    "text_config": LLAMA,
    "vision_config": {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8},
}


def longrope(short: int = 8, long: int = 8) -> dict[str, Any]:
    return {"type": "longrope", "short_factor": [1.0] * short, "long_factor": [2.0] * long}


def padded(token: str, number: int | None) -> dict[str, Any]:
    """A tokenizer with a pad token, and its id where one is given."""
    known = {} if number is None else {"added_tokens_decoder": {str(number): {"content": token}}}
    return {"model_max_length": ROWS, "pad_token": token} | known


def led_tables() -> dict[str, np.ndarray]:
    return {"decoder.embed_positions.weight": table(10)}


def clip_tower() -> dict[str, np.ndarray]:
    return {"vision_tower.embeddings.position_embedding.weight": table(17)}


def case(config: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"config": config, **more}


FIRES = {
    "MP301-more-rows": ("MP301", "issue", case(BERT, rows=ROWS + 8)),
    "MP301-opt": ("MP301", "issue", case(OPT, rows=ROWS)),
    "MP301-gpt2": ("MP301", "issue", case(GPT2 | {"n_positions": 64})),
    "MP301-vit": ("MP301", "issue", case(VIT | {"image_size": 64})),
    "MP301-silent": ("MP301", "cannot_tell", case({"model_type": "bert"})),
    "MP302": ("MP302", "tip", case(ROBERTA | {"max_position_embeddings": 512}, rows=512)),
    "MP303": ("MP303", "issue", case(BERT | {"position_embedding_type": "relative_key_query"})),
    "MP304": ("MP304", "issue", case(None, model_type="gpt2")),
    "MP305": ("MP305", "issue", case(GPT2 | {"n_ctx": 16})),
    "MP306-sentinel": ("MP306", "issue", case(BERT, tokenizer_config={"model_max_length": int(1e30)})),
    "MP306-absent": ("MP306", "issue", case(BERT, tokenizer_config={})),
    "MP306-no-file": ("MP306", "issue", case(BERT, tokenizer_config=None, tokenizer={"truncation": None})),
    "MP306-text": ("MP306", "issue", case(BERT, tokenizer_config={"model_max_length": "32"})),
    "MP307-roberta": ("MP307", "issue", case(ROBERTA, tokenizer_config={"model_max_length": ROWS + 2})),
    "MP307-opt": ("MP307", "issue", case(OPT, tokenizer_config={"model_max_length": ROWS + 2})),
    "MP307-max-len": ("MP307", "issue", case(BERT, tokenizer_config={"max_len": ROWS + 1})),
    "MP307-max-length": (
        "MP307",
        "issue",
        case(BERT, tokenizer_config={"model_max_length": ROWS, "max_length": ROWS + 1}),
    ),
    "MP308": ("MP308", "tip", case(BERT, tokenizer_config={"model_max_length": 16})),
    "MP309-short": ("MP309", "issue", case(BERT, tokenizer={"truncation": TRUNCATION})),
    "MP309-long": (
        "MP309",
        "issue",
        case(BERT, tokenizer={"truncation": TRUNCATION | {"max_length": ROWS + 1}}),
    ),
    "MP309-agrees": ("MP309", "tip", case(BERT, tokenizer={"truncation": TRUNCATION | {"max_length": ROWS}})),
    "MP309-no-number": ("MP309", "issue", case(BERT, tokenizer={"truncation": [1]})),
    "MP310": ("MP310", "issue", case(BERT, tokenizer={"padding": FIXED})),
    "MP311-past": ("MP311", "issue", case(ROBERTA, sentence_bert_config={"max_seq_length": ROWS + 2})),
    "MP311-differs": ("MP311", "tip", case(BERT, sentence_bert_config={"max_seq_length": 16})),
    "MP311-no-number": ("MP311", "issue", case(BERT, sentence_bert_config={"max_seq_length": "16"})),
    "MP312": ("MP312", "tip", case(BERT, sentence_bert_config={"max_seq_length": 16})),
    "MP312-record": ("MP312", "tip", case(BERT | {"milepost": {"tuned_length": 8}})),
    "MP312-unknown": ("MP312", "cannot_tell", case(BERT)),
    "MP313-length": ("MP313", "issue", case(GPT2, generation_config={"max_length": ROWS + 1})),
    "MP313-new": ("MP313", "issue", case(OPT, generation_config={"max_new_tokens": ROWS})),
    "MP313-rotary": ("MP313", "tip", case(LLAMA, generation_config={"max_length": 8192})),
    "MP315-ids": (
        "MP315",
        "issue",
        case(BERT, tensors={"embeddings.position_ids": np.zeros((1, 16), np.int64)}),
    ),
    "MP315-mask": (
        "MP315",
        "issue",
        case(GPT2, tensors={f"{LAYER}.bias": np.ones((1, 1, 16, 16), np.uint8)}),
    ),
    "MP317-size": ("MP317", "issue", case(VIT, preprocessor_config={"size": {"height": 48, "width": 48}})),
    "MP317-crop": ("MP317", "issue", case(VIT, preprocessor_config={"size": 32, "crop_size": 28})),
    "MP317-edge": ("MP317", "cannot_tell", case(VIT, preprocessor_config={"size": {"shortest_edge": 32}})),
    "MP318-yarn": (
        "MP318",
        "issue",
        case(
            LLAMA
            | {"rope_scaling": {"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 1024}}
        ),
    ),
    "MP318-less": (
        "MP318",
        "issue",
        case(LLAMA | {"rope_parameters": {"rope_type": "llama3", "original_max_position_embeddings": 8192}}),
    ),
    "MP318-unstated": ("MP318", "tip", case(LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0}})),
    "MP318-both": (
        "MP318",
        "issue",
        case(
            LLAMA | {"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_theta": 1e4}}
        ),
    ),
    "MP318-factor": ("MP318", "issue", case(LLAMA | {"rope_scaling": {"type": "linear", "factor": "2"}})),
    "MP318-layers": (
        "MP318",
        "issue",
        case(LLAMA | {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 0.5}}}),
    ),
    "MP318-unknown": (
        "MP318",
        "issue",
        case(LLAMA | {"rope_parameters": {"rope_type": "yran", "factor": 4}}),
    ),
    "MP318-no-name": ("MP318", "issue", case(LLAMA | {"rope_scaling": {"type": ["yarn"]}})),
    "MP318-no-factor": ("MP318", "issue", case(LLAMA | {"rope_parameters": {"rope_type": "linear"}})),
    "MP318-longrope-short": ("MP318", "issue", case(PHI | {"rope_scaling": longrope(short=7)})),
    "MP318-longrope-long": ("MP318", "issue", case(PHI | {"rope_scaling": longrope(long=9)})),
    "MP318-longrope-no-list": (
        "MP318",
        "issue",
        case(PHI | {"rope_scaling": longrope() | {"long_factor": "1"}}),
    ),
    "MP318-longrope-zero": (
        "MP318",
        "issue",
        case(LLAMA | {"rope_scaling": longrope() | {"long_factor": [0] * 8}}),
    ),
    "MP320-roberta": ("MP320", "issue", case(ROBERTA, tokenizer_config=padded("<pad>", 0))),
    "MP320-class-default": (
        "MP320",
        "issue",
        case(
            {name: ROBERTA[name] for name in ROBERTA if name != "pad_token_id"},
            tokenizer_config=padded("<pad>", 0),
        ),
    ),
    "MP320-bert": ("MP320", "tip", case(BERT, tokenizer_config=padded("[PAD]", 3))),
    "MP320-data": (
        "MP320",
        "tip",
        case(
            BERT,
            tokenizer_config=padded("[PAD]", None),
            tokenizer={"added_tokens": [{"id": 5, "content": "[PAD]"}]},
        ),
    ),
    "MP320-padding": (
        "MP320",
        "tip",
        case(BERT, tokenizer={"padding": {"strategy": "BatchLongest", "pad_id": 7}}),
    ),
    "MP320-generation": (
        "MP320",
        "tip",
        case(GPT2, tokenizer_config=padded("<|pad|>", 9), generation_config={"pad_token_id": 8}),
    ),
    "MP320-vocabulary": (
        "MP320",
        "issue",
        case(GPT2 | {"vocab_size": 9}, tokenizer_config=padded("<|pad|>", 9)),
    ),
    "MP321-odd": ("MP321", "issue", case(LONGFORMER | {"attention_window": [4, 5]})),
    "MP321-one-odd": ("MP321", "issue", case(LONGFORMER | {"attention_window": 7})),
    "MP321-zero": ("MP321", "issue", case(LONGFORMER | {"attention_window": 0})),
    "MP321-text": ("MP321", "issue", case(LONGFORMER | {"attention_window": "4"})),
    "MP321-layers": ("MP321", "issue", case(LONGFORMER | {"attention_window": [4, 4, 4]})),
    "MP321-led": ("MP321", "issue", case(LED | {"attention_window": [10]}, tensors=led_tables())),
    "MP321-bigbird": ("MP321", "issue", case(BIG_BIRD | {"block_size": 3})),
    "MP321-nystromformer": ("MP321", "issue", case(NYSTROMFORMER | {"segment_means_seq_len": 64})),
    "MP321-landmarks": (
        "MP321",
        "issue",
        case(NYSTROMFORMER | {"segment_means_seq_len": 30, "num_landmarks": 4}),
    ),
    "MP321-shorter": ("MP321", "tip", case(NYSTROMFORMER | {"segment_means_seq_len": 16})),
    "MP319-none": ("MP319", "tip", case(LLAMA, tokenizer_config={"model_max_length": 1e30})),
    "MP319-more": ("MP319", "tip", case(LLAMA, tokenizer_config={"model_max_length": 8192})),
}

SILENT = {
    "MP301": [case(BERT), case(ROBERTA), case(OPT), case(GPT2), case(VIT)],
    "MP302": [case(ROBERTA | {"max_position_embeddings": 514}, rows=514), case(OPT), case(BERT)],
    "MP303": [case(BERT | {"position_embedding_type": "absolute"}), case(BERT)],
    "MP304": [case(GPT2)],
    "MP305": [case(GPT2 | {"n_ctx": ROWS})],
    "MP306": [case(BERT), case(BERT, tokenizer_config=None), case(LLAMA, tokenizer_config={})],
    "MP307": [case(ROBERTA), case(OPT), case(BERT, tokenizer_config={}), case(LLAMA)],
    "MP308": [case(BERT), case(ROBERTA), case(OPT)],
    "MP309": [case(BERT, tokenizer={"truncation": None}), case(BERT)],
    "MP310": [case(BERT, tokenizer={"padding": {"strategy": "BatchLongest"}}), case(BERT)],
    "MP311": [case(BERT, sentence_bert_config={"max_seq_length": ROWS}), case(BERT)],
    "MP312": [case(BERT, sentence_bert_config={"max_seq_length": ROWS}), case(LLAMA)],
    "MP313": [case(GPT2, generation_config={"max_length": ROWS}), case(BERT), case(LLAMA)],
    "MP314": [case(BERT)],
    "MP315": [
        case(BERT, tensors={"embeddings.position_ids": np.zeros((1, ROWS), np.int64)}),
        case(GPT2, tensors={f"{LAYER}.bias": np.ones((1, 1, ROWS, ROWS), np.uint8)}),
        case(GPT2, tensors={f"{LAYER}.c_attn.bias": np.ones(24, np.float32)}),
    ],
    "MP316": [case(BERT)],
    "MP317": [
        case(VIT, preprocessor_config={"size": 48, "crop_size": {"height": 32, "width": 32}}),
        case(VIT, preprocessor_config={"size": 32, "crop_size": 28, "do_center_crop": False}),
        case(VIT),
    ],
    "MP318": [
        case(
            LLAMA
            | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}}
        ),
        case(LLAMA | {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}),
        case(LLAMA),
        case(PHI | {"rope_scaling": longrope()}),
        case(PHI | {"rope_scaling": longrope(6, 6) | {"partial_rotary_factor": 0.75}}),
        case(LLAMA | {"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}),
    ],
    "MP319": [case(LLAMA), case(BERT, tokenizer_config={}), case(LLAVA, tensors=clip_tower())],
    "MP320": [
        case(ROBERTA, tokenizer_config=padded("<pad>", 1)),
        case(BERT, tokenizer_config=padded("[PAD]", 0)),
        case(BERT, tokenizer_config=padded("[PAD]", None)),
        case(GPT2 | {"vocab_size": 10}, tokenizer_config=padded("<|pad|>", 9)),
        case(BERT),
    ],
    "MP321": [
        case(LONGFORMER),
        case(LONGFORMER | {"attention_window": 6}),
        case(LED, tensors=led_tables()),
        case(BIG_BIRD),
        case(BIG_BIRD | {"block_size": 3, "attention_type": "original_full"}),
        case(BIG_BIRD | {"block_size": 64}),
        case(NYSTROMFORMER),
        case(NYSTROMFORMER | {"segment_means_seq_len": 64, "num_landmarks": 64}),
        case(BERT),
    ],
}


@pytest.mark.parametrize("name", FIRES)
def test_a_check_fires(name: str, tmp_path: Path) -> None:
    code, status, settings = FIRES[name]
    report = diagnose(make_folder(tmp_path, **settings))
    found = of(report, code)
    assert status in [finding["status"] for finding in found], found
    said = next(finding for finding in found if finding["status"] == status)
    assert said["got"]
    if status == "issue":
        assert said["where"] and said["expected"] and said["fix"]


@pytest.mark.parametrize(
    ("code", "settings"), [(code, settings) for code, many in SILENT.items() for settings in many]
)
def test_a_check_stays_silent(code: str, settings: dict[str, Any], tmp_path: Path) -> None:
    report = diagnose(make_folder(tmp_path, **settings))
    assert code not in statuses(report, "issue", "tip"), of(report, code)


def test_every_check_is_tested_both_ways() -> None:
    # MP314 and MP316 need more than one file and have tests of their own below
    assert {code for code, _, _ in FIRES.values()} | {"MP314", "MP316"} == set(CHECKS) == set(SILENT)


@pytest.mark.parametrize(
    "config", [BERT, ROBERTA, GPT2, OPT, VIT, LLAMA], ids=lambda config: config["model_type"]
)
def test_a_sound_folder_has_no_issue(config: dict[str, Any], tmp_path: Path) -> None:
    report = diagnose(make_folder(tmp_path, config))
    assert statuses(report, "issue", "tip") == set()
    assert report["changes"] == []
    assert {finding["code"] for finding in report["findings"]} == set(CHECKS)


@pytest.mark.parametrize("name", [name for name, (_, status, _) in FIRES.items() if status == "issue"])
def test_what_is_fixed_is_no_issue_any_more(name: str, tmp_path: Path) -> None:
    code, _, settings = FIRES[name]
    folder = make_folder(tmp_path, **settings)
    changes = plan_fixes(folder)
    fixable = any("--fix" in finding["fix"] for finding in of(diagnose(folder), code))
    assert bool(changes) == fixable
    if changes:
        assert apply_fixes(folder, changes) == list(dict.fromkeys(change.file for change in changes))
        assert code not in statuses(diagnose(folder), "issue")


def shards(folder: Path, total: object) -> Path:
    make_folder(folder, BERT)
    (folder / "model.safetensors").unlink()
    key, other = "embeddings.position_embeddings.weight", "embeddings.word_embeddings.weight"
    save_file({key: table(ROWS)}, folder / "model-00001-of-00002.safetensors")
    save_file({other: table(10)}, folder / "model-00002-of-00002.safetensors")
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: "model-00001-of-00002.safetensors", other: "model-00002-of-00002.safetensors"},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


SIZE = (ROWS + 10) * 8 * 4


@pytest.mark.parametrize("total", [SIZE - 1, "many", 10**4000, None, [SIZE]])
def test_a_wrong_total_size_is_found_and_mended(total: object, tmp_path: Path) -> None:
    folder = shards(tmp_path, total)
    (finding,) = of(diagnose(folder), "MP314")
    assert finding["status"] == ("not_applicable" if total is None else "issue")
    apply_fixes(folder, plan_fixes(folder))
    assert total is None or of(diagnose(folder), "MP314")[0]["status"] == "passed"


@pytest.mark.parametrize("total", [SIZE, float(SIZE)])
def test_a_right_total_size_passes(total: float, tmp_path: Path) -> None:
    assert of(diagnose(shards(tmp_path, total)), "MP314")[0]["status"] == "passed"


def test_a_stale_copy_is_told_from_the_same_one(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, BERT)
    rows = table(ROWS)
    (folder / "tf_model.h5").write_bytes(b"head" + rows.tobytes() + b"tail")
    (folder / "pytorch_model.bin").write_bytes(b"head" + rows[:16].tobytes() + bytes(5000))
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"head" + rows[:16].tobytes())
    (folder / "flax_model.msgpack").write_bytes(rows.astype(np.float16).tobytes())
    found = {finding["where"]: finding["status"] for finding in of(diagnose(folder), "MP316")}
    assert found == {
        "pytorch_model.bin": "issue",
        "onnx/model.onnx": "issue",
        "flax_model.msgpack": "cannot_tell",
    }


def test_a_copy_across_the_borders_of_what_is_read_at_once_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost.diagnostics.doctor.twins._CHUNK", 40)
    folder = make_folder(tmp_path, BERT)
    for shift in (0, 1, 7, 39, 40, 41):
        (folder / "tf_model.h5").write_bytes(bytes(shift) + table(ROWS).tobytes())
        assert of(diagnose(folder), "MP316")[0]["status"] == "passed"


def test_limits_name_their_place(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path, ROBERTA | {"milepost": {"trained_length": 20}}, sentence_bert_config={"max_seq_length": 16}
    )
    limits = milepost.doctor(folder)["limits"]
    overview = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text("utf-8")
    assert [name for name in limits if f"| {name} | " not in overview] == []
    assert {name: limit["value"] for name, limit in limits.items()} == {
        "allocated": ROWS + 2, "usable": ROWS, "configured": ROWS + 2, "trained": 20, "tuned": 16, "tokenizer": ROWS,
        "truncation": None, "sentence_transformers": 16, "generation": None,
    }  # fmt: skip
    assert limits["allocated"]["where"] == "model.safetensors: embeddings.position_embeddings.weight"
    assert limits["usable"]["note"] == "positions start at row 2"
    assert limits["tuned"]["where"] == "sentence_bert_config.json: max_seq_length"


def test_counted_gradients_say_what_was_trained(tmp_path: Path) -> None:
    counts = np.array([5] * 20 + [0] * (ROWS - 20), np.int64)
    folder = make_folder(tmp_path, BERT, tensors={"embeddings.position_embeddings.trained_counts": counts})
    assert diagnose(folder)["limits"]["trained"]["value"] == 20


def test_the_limit_lives_in_the_tokenizer_where_sentence_transformers_keeps_it_now(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, BERT, tokenizer_config={"model_max_length": 16}, modules=[])
    limits = diagnose(folder)["limits"]
    assert limits["tuned"] == {
        "value": 16,
        "where": "tokenizer_config.json: model_max_length",
        "note": "",
    }


def test_the_transformer_may_lie_one_folder_below(tmp_path: Path) -> None:
    make_folder(tmp_path / "0_Transformer", BERT, sentence_bert_config={"max_seq_length": ROWS + 1})
    module = {"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    (tmp_path / "modules.json").write_text(json.dumps([module]))
    assert "MP311" in statuses(diagnose(tmp_path), "issue")
    apply_fixes(tmp_path, plan_fixes(tmp_path))
    assert "MP311" not in statuses(diagnose(tmp_path), "issue")


def test_a_single_file_is_checked_with_what_lies_beside_it(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, BERT, tokenizer_config={})
    assert "MP306" in statuses(diagnose(folder / "model.safetensors"), "issue")


def test_a_report_fits_its_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(milepost.__file__).parent / "schemas" / "doctor.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    report = diagnose(make_folder(tmp_path, BERT, tokenizer_config={}, tokenizer={"truncation": TRUNCATION}))
    validator.validate(json.loads(json.dumps(report)))
    assert not validator.is_valid(report | {"findings": []})
