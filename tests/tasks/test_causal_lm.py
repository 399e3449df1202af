from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from milepost.corpus.tokenizers import build_tokenizer
from milepost.errors import DataError, OptionError, UnknownName
from milepost.tasks import CausalLM, Options
from milepost.tasks.streams import Streams

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def docs() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


def with_parts(task: CausalLM, **parts: np.ndarray) -> CausalLM:
    return replace(task, streams=replace(task.streams, parts={**task.streams.parts, **parts}))


def test_characters_and_bytes_read_back() -> None:
    text = "héllo, 世界 🌍\n"
    characters = build_tokenizer("char", [text])
    ids = characters.encode(text)
    assert characters.vocabulary_size == len(set(text))
    assert [sorted(set(text))[i] for i in ids] == list(text)
    assert bytes(build_tokenizer("byte", []).encode(text).tolist()).decode() == text


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(UnknownName, match="char"):
        build_tokenizer("chars", ["x"])


def test_no_document_is_in_two_parts(tmp_path: Path) -> None:
    for index in range(60):
        (tmp_path / f"{index:02}.txt").write_text(chr(0x4E00 + index) * (50 + index))
    parts = Streams.read(str(tmp_path), Options()).parts
    seen = [set(parts[part].tolist()) for part in ("train", "validation", "test")]
    for first in range(3):
        for second in range(first):
            assert len(seen[first] & seen[second]) <= 1  # the newline between documents
    assert 0.05 < len(parts["test"]) / len(parts["train"]) < 0.25
    assert 0.02 < len(parts["validation"]) / len(parts["train"]) < 0.12


def test_a_document_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    for index in range(60):
        (tmp_path / f"{index:02}.txt").write_text(f"text {index % 30} " * 20)
    facts = Streams.read(str(tmp_path), Options()).facts
    assert facts["repeated_documents"] == 30


def test_of_few_documents_a_share_of_each_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a" * 850 + "b" * 50 + "c" * 100)
    task = Streams.read(str(tmp_path), Options())
    assert [len(task.parts[part]) for part in ("train", "validation", "test")] == [850, 50, 100]


def test_parts_of_the_users_own_are_kept_and_must_not_share_documents(tmp_path: Path) -> None:
    for name, text in (("train", "a" * 500), ("dev", "b" * 100), ("test", "c" * 100)):
        (tmp_path / f"{name}.txt").write_text(text)
    train, dev, test = (str(tmp_path / f"{name}.txt") for name in ("train", "dev", "test"))
    parts = Streams.read(train, Options(validation=dev, test=test)).parts
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [500, 100, 100]
    alone = Streams.read(train, Options()).sha256
    assert len({alone, *(Streams.read(train, Options(test=one)).sha256 for one in (dev, test))}) == 3
    with pytest.raises(DataError, match="train and the test part share documents"):
        Streams.read(train, Options(validation=dev, test=train))


def test_a_text_without_a_newline_still_has_ids_for_what_parts_documents(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.txt").write_text("ab" * (100 + index))
    task = Streams.read(str(tmp_path), Options())
    assert task.tokenizer.vocabulary_size == 3
    assert max(int(ids.max()) for ids in task.parts.values()) < 3


def test_a_batch_is_a_function_of_its_arguments(docs: CausalLM) -> None:
    batch = docs.batch(3, 7, 5, 16)["tokens"]
    assert batch.shape == (5, 17)
    assert np.array_equal(batch, docs.batch(3, 7, 5, 16)["tokens"])
    assert not np.array_equal(batch, docs.batch(3, 8, 5, 16)["tokens"])
    assert not np.array_equal(batch, docs.batch(4, 7, 5, 16)["tokens"])
    text = docs.streams.parts["train"].tobytes()
    assert all(row.astype(np.int32).tobytes() in text for row in batch)


class Bigram(nn.Module):
    """Predicts from the last token alone, so that losses can be counted by hand."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(logits)

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> object:
        return type("Output", (), {"logits": self.table[input_ids]})()


@pytest.mark.parametrize("length", [1, 7, 32])
@pytest.mark.parametrize("protocol", ["blocks", "sliding"])
def test_loss_by_position_equals_a_loop_in_float64(docs: CausalLM, length: int, protocol: str) -> None:
    task = replace(with_parts(docs, test=docs.streams.parts["test"][:300]), evaluate_by=protocol)
    ids, size = task.streams.parts["test"], task.head.vocabulary_size
    logits = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    measured = task.evaluate(Bigram(logits), length, CPU)
    logp = (logits.double() - logits.double().logsumexp(-1, keepdim=True)).numpy()
    step = length if protocol == "blocks" else max(1, length // 4)
    starts = range(0, 300 - length, step)
    wanted = [
        -np.mean([logp[ids[start + i], ids[start + i + 1]] for start in starts])
        for i in range(0 if protocol == "blocks" else length - step, length)
    ]
    np.testing.assert_allclose(measured.curve, wanted, rtol=1e-6)
    assert measured.metrics["loss"] == pytest.approx(np.mean(wanted), rel=1e-6)
    assert measured.metrics["perplexity"] == pytest.approx(np.exp(np.mean(wanted)), rel=1e-6)


def test_an_unknown_protocol_or_an_option_without_use_is_refused() -> None:
    for options in (Options(evaluate="strided"), Options(label_column="label")):
        with pytest.raises(OptionError):
            CausalLM.open("builtin:python-docs", options)


def test_the_unigram_loss_is_the_entropy_of_equal_parts(docs: CausalLM) -> None:
    balanced = np.tile(np.arange(4, dtype=np.int32), 100_000)
    even = with_parts(docs, train=balanced, test=balanced[:4000])
    assert even.floor() == pytest.approx(np.log(4), abs=1e-3)


def test_text_too_short_for_the_longest_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghij" * 100)
    task = CausalLM.open(str(tmp_path), Options())
    task.check_lengths(32, (99,))
    with pytest.raises(DataError, match="test part") as caught:
        task.check_lengths(32, (16, 100))
    assert caught.value.got == "100 char tokens in the test part, 101 wanted"
    with pytest.raises(DataError, match="validation part"):
        task.check_lengths(50, (16,))
