"""Files that were made to hurt: Milepost's own errors or a report, never anything else."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.diagnostics.doctor import apply_fixes, diagnose, plan_fixes
from milepost.errors import MilepostError, UnsafeFile

sys.path.insert(0, str(Path(__file__).parent))  # the folders are a module beside the tests
from folders import BERT, GPT2, LLAMA, OPT, ROBERTA, ROWS, VIT, make_folder, statuses

DOCUMENTS: dict[str, Any] = {
    "tokenizer_config": {"model_max_length": ROWS, "max_length": ROWS, "max_len": ROWS},
    "tokenizer": {"truncation": {"max_length": 16}, "padding": {"strategy": {"Fixed": 16}}},
    "sentence_bert_config": {"max_seq_length": 16},
    "generation_config": {"max_length": 99, "max_new_tokens": 99},
    "preprocessor_config": {"size": {"height": 48, "width": 48}, "crop_size": 28, "do_center_crop": True},
    "modules": [{"path": "", "type": "sentence_transformers.models.Transformer"}],
}
CONFIG_MORE: dict[str, Any] = {
    "rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8},
    "rope_parameters": {"full": {"rope_type": "llama3", "factor": 8}},
    "position_embedding_type": "relative_key",
    "n_ctx": 8,
    "max_length": 8,
    "milepost": {"trained_length": 8, "tuned_length": 8},
    "text_config": {"max_position_embeddings": 8, "rope_scaling": {"type": "linear"}},
}
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 10**400, 1e30, 1e308, float("nan"), float("inf"), 0.5, "", "32", "\x1b[31m\u202e",
    [], [1], [[[]]], [None, None], {}, {"a": {}}, {"height": []}, {"Fixed": {}}, {"max_length": float("nan")}, "x" * 5000,
]  # fmt: skip


def mutate(value: Any, rng: random.Random) -> Any:
    """One place inside replaced by something odd."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        return value | {name: mutate(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.5:
        return [mutate(value[0], rng), *value[1:]]
    return rng.choice(ODD)


@pytest.mark.parametrize("seed", range(6))
def test_odd_values_give_a_report_or_an_error_of_our_own(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    config = [BERT, ROBERTA, GPT2, OPT, VIT, LLAMA][seed]
    folder = make_folder(tmp_path, config)
    reports = 0
    for _ in range(100):
        documents = {"config": config | CONFIG_MORE, **DOCUMENTS}
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(list(documents))
            documents[name] = mutate(documents[name], rng)
        for name, document in documents.items():
            (folder / f"{name}.json").write_text(json.dumps(document))
        try:
            report = diagnose(folder)
            json.dumps(report, allow_nan=False)
            apply_fixes(folder, plan_fixes(report))
            reports += 1
        except MilepostError:
            pass
    assert reports > 20


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_give_a_report_or_an_error_of_our_own(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    folder = make_folder(tmp_path, BERT | CONFIG_MORE, **DOCUMENTS)
    whole = {name: (folder / f"{name}.json").read_bytes() for name in ("config", *DOCUMENTS)}
    refused = 0
    for _ in range(100):
        name = rng.choice(list(whole))
        raw = bytearray(whole[name])
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.choice(b'{}[]",:0e\\\x00\xff \xc3')
        path = folder / f"{name}.json"
        path.write_bytes(raw[: rng.randint(1, len(raw))] if rng.random() < 0.3 else raw)
        try:
            apply_fixes(folder, plan_fixes(diagnose(folder)))
        except MilepostError:
            refused += 1
        for other, kept in whole.items():
            (folder / f"{other}.json").write_bytes(kept)
    assert refused > 30


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe{\x00}\x00",
        b"\x00" * 100,
    ],
)
@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "tokenizer.json", "modules.json", "preprocessor_config.json"]
)
def test_a_malformed_file_is_refused_by_name(raw: bytes, name: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path, BERT)
    (folder / name).write_bytes(raw)
    if name == "modules.json" and raw == b"[]":
        assert diagnose(folder)["findings"]
        return
    with pytest.raises(UnsafeFile) as caught:
        diagnose(folder)
    assert name in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege")
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "generation_config.json", "modules.json", "onnx/model.onnx"]
)
def test_nothing_outside_the_folder_is_read(name: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", BERT)
    secret = tmp_path / "secret"
    secret.write_text('{"truncation": {"max_length": 7}}')
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(secret)
    if name.endswith(".onnx"):
        assert "MP316" in statuses(diagnose(folder), "cannot_tell")
        return
    with pytest.raises(UnsafeFile, match="link"):
        diagnose(folder)


@pytest.mark.parametrize("path", ["..", "../other", "/etc", "a/b", "a\\b", "C:", "x" * 300, "a\x00b"])
def test_modules_never_lead_out_of_the_folder(path: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", BERT, modules=[{"path": path, "type": "x.Transformer"}])
    make_folder(tmp_path / "other", BERT)
    with pytest.raises(UnsafeFile):
        diagnose(folder)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    folder = make_folder(tmp_path, BERT)
    os.mkfifo(folder / "tokenizer.json")
    os.mkfifo(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeFile, match="no plain file"):
        diagnose(folder)


def test_a_large_tokenizer_is_read_at_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.diagnostics.doctor.reading._LARGE_BYTES", 100)
    folder = make_folder(tmp_path, BERT)
    head = '{"version": "1.0", "truncation": {"max_length": 16}, "padding": null, "model": '
    (folder / "tokenizer.json").write_text(head + '"x' * 200)
    assert diagnose(folder)["limits"]["truncation"]["value"] == 16
    # where the head does not hold both, all of it is read, and refused
    (folder / "tokenizer.json").write_text('{"truncation": null, "model": ' + '"x' * 200)
    with pytest.raises(UnsafeFile):
        diagnose(folder)


def test_torch_and_transformers_are_not_imported(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, BERT, tokenizer={"truncation": None})
    code = (
        "import sys, milepost; milepost.doctor(sys.argv[1]); "
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
