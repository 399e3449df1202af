from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.corpus import MAX_VOCABULARY, TokenizerProcess, tokenizer_process
from milepost.corpus.tokenizers import build_tokenizer
from milepost.errors import DataError, MissingExtra, UnsafeFile

TEXT = "aaaa bbb ccc " * 20
LIMITED = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are of Linux")


def content(**changes: Any) -> bytes:
    model = {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "[UNK]": 2}, "unk_token": "[UNK]"}
    empty = dict.fromkeys(
        ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")
    )
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model, **empty, **changes}).encode()


def encode(raw: bytes, text: str = TEXT) -> list[int]:
    process = TokenizerProcess("t.json", "json", raw)
    try:
        found: list[int] = process.encode_all([text])[0].tolist()
        return found
    finally:
        process.close()


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(pattern: dict[str, str], by: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": by}


def test_texts_are_encoded_and_counted_in_their_order() -> None:
    process = TokenizerProcess("t.json", "json", content(pre_tokenizer={"type": "Whitespace"}))
    texts = ["a b", "", "b x a a"]
    assert [ids.tolist() for ids in process.encode_all(texts)] == [[0, 1], [], [1, 2, 0, 0]]
    assert process.count_all(texts) == [2, 0, 4]
    assert process.encode_all([]) == []
    assert process.facts.vocabulary_size == 3


def test_large_and_many_texts_are_encoded_as_one_by_one() -> None:
    process = TokenizerProcess("t.json", "json", content(pre_tokenizer={"type": "Whitespace"}))
    texts = ["a b " * 400_000, *["b"] * 3000, "a" * 10]
    found = process.encode_all(texts)
    assert [len(ids) for ids in found] == [800_000, *[1] * 3001]


@pytest.mark.parametrize(
    "raw",
    [
        content(pre_tokenizer=split("(a+)+$")),
        content(normalizer=replace({"Regex": "(a+a+)+y"}, "")),
    ],
    ids=["split", "replace"],
)
def test_regular_expression_that_takes_forever_is_ended(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_process, "ENCODE_SECONDS", 0)
    with pytest.raises(DataError, match="seconds of computing"):
        encode(raw, "a" * 60 + "!")


@LIMITED
def test_replacements_that_multiply_a_text_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_process, "MEMORY_BYTES", 1 << 28)
    chain = {"type": "Sequence", "normalizers": [replace({"String": "a"}, "a" * 10)] * 9}
    with pytest.raises(DataError, match="bytes, or broke"):
        encode(content(normalizer=chain))


def test_waiting_ends_too_where_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    process = TokenizerProcess("t.json", "json", content())
    os.kill(process._process.pid, 19)  # stopped: it computes nothing
    monkeypatch.setattr(tokenizer_process, "_WAIT", 0.01)
    with pytest.raises(DataError, match="or broke"):
        process.encode_all(["a"])


@pytest.mark.parametrize(
    "raw",
    [
        content(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        content(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        content(model={"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]}),
        content(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}),
        content(
            model={
                "type": "BPE",
                "vocab": {"a": 0, "aa": 1},
                "merges": ["a a"],
                "continuing_subword_prefix": "ééé",
            }
        ),
        content(pre_tokenizer={"type": "Metaspace", "replacement": "", "prepend_scheme": "always"}),
        b'{"normalizer":' + b'{"type":"Sequence","normalizers":[' * 5000 + b"]}" * 5000 + b"}",
        b"\xff\xfe",
        b"",
        b"null",
    ],
    ids=range(10),  # pytest passes the name of a test on in the environment, whose size is limited
)
def test_panics_and_damage_are_errors_of_ours(raw: bytes) -> None:
    with pytest.raises(DataError):
        encode(raw)


@pytest.mark.parametrize("largest", [2**31 + 5, 2**32 - 1, MAX_VOCABULARY])
def test_vocabulary_of_billions_is_refused_by_the_stated_limit(largest: int) -> None:
    model = {"type": "WordLevel", "vocab": {"a": largest, "[UNK]": 2}, "unk_token": "[UNK]"}
    with pytest.raises(DataError, match=f"largest id {largest:,}") as refused:
        encode(content(model=model))
    assert f"{MAX_VOCABULARY:,} ids" in refused.value.fix


def test_largest_vocabulary_is_read() -> None:
    model = {"type": "WordLevel", "vocab": {"a": MAX_VOCABULARY - 1, "[UNK]": 2}, "unk_token": "[UNK]"}
    assert encode(content(model=model), "a") == [MAX_VOCABULARY - 1]


def test_process_ends_with_the_last_reference_and_after_an_error() -> None:
    process = TokenizerProcess("t.json", "json", content())
    child = process._process
    assert child.poll() is None
    del process
    gc.collect()
    assert child.poll() is not None


def test_pipe_in_a_folder_of_a_tokenizer_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "vocab.txt")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(UnsafeFile, match="plain file"):
        build_tokenizer(str(tmp_path), [])


def test_code_of_a_tokenizer_folder_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass")
    asked = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(asked))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "auto_map": {"AutoConfig": "evil.Evil"}}')
    with pytest.raises(DataError, match="no tokenizer"):
        build_tokenizer(str(tmp_path), [])
    assert not (tmp_path / "ran").exists()


def test_file_of_the_packages_name_in_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit")
    (tmp_path / "milepost.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert encode(content(), "a") == [0]


def test_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra):
        TokenizerProcess("t.json", "json", content())
