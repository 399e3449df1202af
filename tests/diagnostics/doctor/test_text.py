"""How much of a text each limit cuts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from milepost.diagnostics.doctor import diagnose
from milepost.errors import DataError, MissingExtra, OptionError

sys.path.insert(0, str(Path(__file__).parent))  # the folders are a module beside the tests
from folders import BERT, ROWS, make_folder

TOKENIZER = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {
        "strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    },
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": {
        "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1],
    },
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3}, "unk_token": "[UNK]"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(
        tmp_path / "model", BERT, tokenizer=TOKENIZER, sentence_bert_config={"max_seq_length": 8}
    )


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\ufeffa\n\n" + "a " * 6 + "\n" + "a " * 10 + "\r\n   \n" + "a " * 98, "utf-8")
    return path


def test_each_limit_is_counted_with_truncation_and_padding_off(folder: Path, text: Path) -> None:
    # with the two special tokens: 3, 8, 12 and 100 tokens
    counted = diagnose(folder, text=text)["text"]
    assert (counted["texts"], counted["tokens"], counted["longest"], counted["median"]) == (4, 123, 100, 10)
    cut = {
        name: (found["limit"], found["texts_cut"], found["tokens_cut"])
        for name, found in counted["limits"].items()
    }
    assert cut == {
        "usable": (ROWS, 1, 68),
        "tokenizer": (ROWS, 1, 68),
        "tuned": (8, 2, 4 + 92),
        "sentence_transformers": (8, 2, 4 + 92),
        "truncation": (4, 3, 4 + 8 + 96),
    }
    assert counted["limits"]["usable"]["share_of_texts_cut"] == 1 / 4
    assert counted["limits"]["usable"]["share_of_tokens_cut"] == 68 / 123


def test_another_tokenizer_can_count(folder: Path, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.json").write_text(json.dumps(TOKENIZER | {"post_processor": None}))
    counted = diagnose(folder, text=text, tokenizer=other)["text"]
    assert (counted["tokenizer"], counted["tokens"]) == (str(other), 123 - 2 * 4)


def test_the_report_with_a_text_fits_its_schema(folder: Path, text: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from milepost.reporting.schemas import read_schema

    jsonschema.validate(diagnose(folder, text=text), read_schema("doctor"))


def test_a_tokenizer_without_a_text_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="counts a text"):
        diagnose(folder, tokenizer=folder)


@pytest.mark.parametrize("raw", [b"", b" \n\n", b"\xff\xfe"])
def test_a_file_without_text_is_refused(raw: bytes, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError):
        diagnose(folder, text=path)


def test_a_missing_file_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        diagnose(folder, text=tmp_path / "none.txt")
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        diagnose(folder, text=folder / "config.json", tokenizer=tmp_path)
    with pytest.raises(OptionError, match="local tokenizer"):
        diagnose(folder, text=folder / "config.json", tokenizer="organisation/name")


def test_a_tokenizer_that_cannot_be_loaded_is_refused(folder: Path, text: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": {"type": "\\u001b[31m"}}')
    with pytest.raises(DataError, match="no tokenizer") as caught:
        diagnose(folder, text=text)
    assert "\x1b" not in str(caught.value)


def test_without_the_tokenizers_package_the_extra_is_named(
    folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match="torch"):
        diagnose(folder, text=text)
    assert diagnose(folder)["text"] is None
