from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from milepost.corpus.text import read_text
from milepost.corpus.tokenizers import build_tokenizer
from milepost.errors import DataError, MissingExtra, OptionError, UnknownName, UnsafeFile
from milepost.tasks.streams import SEPARATOR, Streams
from milepost.tasks.task import Options

WORDS = ["[UNK]", "[PAD]", "[MASK]", "[CLS]", "one", "two", "three"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tokenizer of a few words whose file asks for truncation, padding and special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    built = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 3)])
    built.enable_truncation(3)
    built.enable_padding(length=8, pad_id=1, pad_token="[PAD]")
    (tmp_path / "model").mkdir()
    built.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model" / "tokenizer.json"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_truncation_padding_and_special_tokens_of_a_file_are_off(file: Path, what: str) -> None:
    before = file.read_bytes()
    found = build_tokenizer(str(file if what == "file" else file.parent), [])
    assert found.encode("one two three one two four").tolist() == [4, 5, 6, 4, 5, 0]
    assert (found.vocabulary_size, found.specials) == (7, {"pad": 1, "cls": 3, "mask": 2})
    assert found.with_specials("pad", "mask") == found
    assert file.read_bytes() == before


def test_another_tokenizer_file_is_other_data_and_the_same_one_is_not(file: Path, tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.txt").write_text("one two three " * (20 + index))
    (tmp_path / "model").rename(tmp_path / ".model")
    file = tmp_path / ".model" / "tokenizer.json"

    def identity() -> str:
        return Streams.read(str(tmp_path), Options(tokenizer=str(file))).sha256

    first = identity()
    assert first == identity() != Streams.read(str(tmp_path), Options()).sha256
    content = json.loads(file.read_text())
    content["model"]["vocab"] |= {"one": 5, "two": 4}
    file.write_text(json.dumps(content))
    assert identity() != first


def test_streams_join_documents_as_their_text_would_be_joined() -> None:
    streams = Streams.read("builtin:python-docs", Options())
    texts = read_text("builtin:python-docs").documents
    ids = set(streams.parts["train"][-50:].tolist())
    assert len(streams.parts["train"]) > 100_000
    joined = streams.tokenizer.encode(SEPARATOR.join(texts[:3]))
    pieces = streams.tokenizer.encode_all(texts[:3])
    gap = streams.tokenizer.encode(SEPARATOR)
    assert joined.tolist() == np.concatenate([pieces[0], gap, pieces[1], gap, pieces[2]]).tolist()
    assert ids <= set(range(streams.tokenizer.vocabulary_size))


def test_a_trained_tokenizer_learns_from_the_training_part_alone(tmp_path: Path) -> None:
    for name, word in (("train", "walking "), ("dev", "zzzzyyyy "), ("test", "qqqqxxxx ")):
        (tmp_path / f"{name}.txt").write_text(word * 300)
    train, dev, test = (str(tmp_path / f"{name}.txt") for name in ("train", "dev", "test"))
    streams = Streams.read(train, Options(tokenizer="train:bpe:300", validation=dev, test=test))
    assert len(streams.parts["train"]) < 310
    assert len(streams.parts["test"]) > 2000
    alone = build_tokenizer("train:bpe:300", [], ["walking " * 300])
    assert streams.tokenizer.sha256 == alone.sha256


def test_a_trained_tokenizer_is_the_same_in_another_process() -> None:
    code = (
        "from milepost.corpus.tokenizers import build_tokenizer as b; from pydoc_data.topics import topics as t;"
        "print(b('train:bpe:400', [], sorted(t.values())[:40]).sha256)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    from pydoc_data.topics import topics

    assert run.stdout.strip() == build_tokenizer("train:bpe:400", [], sorted(topics.values())[:40]).sha256


def test_a_trained_tokenizer_encodes_any_text() -> None:
    found = build_tokenizer("train:bpe:257", [], ["abc"])
    assert found.vocabulary_size <= 257
    assert len(found.encode("é世🌍\x00")) == 2 + 3 + 4 + 1


@pytest.mark.parametrize("name", ["train:bpe:256", "train:bpe", "train:unigram:300", "train:bpe:-1"])
def test_a_vocabulary_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="train:bpe:8000"):
        build_tokenizer(name, [], ["x"])


def test_what_is_no_tokenizer_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"model": 1}')
    (tmp_path / "bad.model").write_bytes(b"\x00\xff" * 9)
    (tmp_path / "empty").mkdir()
    for name in ("bad.json", "bad.model", "empty"):
        with pytest.raises(DataError) as caught:
            build_tokenizer(str(tmp_path / name), [])
        assert "\n" not in caught.value.got
    for name in (str(tmp_path / "nowhere.json"), "x" * 5000):
        with pytest.raises(UnknownName, match="byte"):
            build_tokenizer(name, [])
    (file.parent / "other").mkdir()
    (file.parent / "other" / "tokenizer.json").symlink_to(tmp_path / "bad.json")
    with pytest.raises(UnsafeFile):
        build_tokenizer(str(file.parent / "other"), [])


def test_a_tokenizer_without_an_unknown_token_refuses_what_it_does_not_know(file: Path) -> None:
    content = json.loads(file.read_text())
    content["model"]["unk_token"] = "[GONE]"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="cannot encode"):
        build_tokenizer(str(file), []).encode("four")


def test_a_missing_library_is_answered_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.model", "a.json"):
        (tmp_path / name).write_bytes(b"{}")
    for module in ("sentencepiece", "tokenizers"):
        monkeypatch.setitem(sys.modules, module, None)
    for name, extra in (("a.model", "sentencepiece"), ("a.json", "torch")):
        with pytest.raises(MissingExtra, match=rf"milepost\[{extra}\]"):
            build_tokenizer(str(tmp_path / name), [])


def test_real_tokenizers_encode_as_their_libraries_do(shared: Path) -> None:
    folder = shared / "data" / "tokenizers"
    wanted = [7592, 1010, 2088, 999, 14477, 20961, 3468]
    for name in ("bert_base_uncased/tokenizer.json", "bert_base_uncased"):
        found = build_tokenizer(str(folder / name), [])
        assert found.encode("Hello, world! unaffable").tolist() == wanted
        assert found.specials == {"pad": 0, "cls": 101, "mask": 103}
    sentencepiece = pytest.importorskip("sentencepiece")
    path = str(folder / "sentencepiece_botchan" / "test_model.model")
    text = "I saw a girl with a telescope. 世界"
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    found = build_tokenizer(path, [])
    assert found.encode(text).tolist() == processor.encode(text)
    assert found.vocabulary_size == 1000
