from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from milepost.errors import DataError, UnknownName
from milepost.tasks import CausalLM
from milepost.tasks.tokens import build_tokenizer


@pytest.fixture(scope="module")
def docs() -> CausalLM:
    return CausalLM.from_source("builtin:python-docs")


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


def test_no_document_is_in_both_parts(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index:02}.txt").write_text(chr(0x4E00 + index) * (50 + index))
    task = CausalLM.from_source(str(tmp_path))
    shared_tokens = set(task.train.tolist()) & set(task.test.tolist())
    assert len(shared_tokens) == 1  # the newline between documents
    assert 0.05 < len(task.test) / len(task.train) < 0.25


def test_few_documents_hold_out_the_end_of_each(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a" * 900 + "b" * 100)
    task = CausalLM.from_source(str(tmp_path))
    assert (len(task.train), len(task.test)) == (900, 100)
    assert set(task.train.tolist()).isdisjoint(task.test.tolist())


def test_a_text_without_a_newline_still_has_ids_for_what_parts_documents(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.txt").write_text("ab" * 100)
    task = CausalLM.from_source(str(tmp_path))
    assert task.vocabulary_size == 3
    assert int(max(task.train.max(), task.test.max())) < 3


def test_a_batch_is_a_function_of_its_arguments(docs: CausalLM) -> None:
    batch = docs.batch(3, 7, 5, 16)
    assert batch.shape == (5, 17)
    assert np.array_equal(batch, docs.batch(3, 7, 5, 16))
    assert not np.array_equal(batch, docs.batch(3, 8, 5, 16))
    assert not np.array_equal(batch, docs.batch(4, 7, 5, 16))
    text = docs.train.tobytes()
    assert all(row.astype(np.int32).tobytes() in text for row in batch)


class Bigram(nn.Module):
    """Predicts from the last token alone, so that losses can be counted by hand."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(logits)

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> object:
        return type("Output", (), {"logits": self.table[input_ids]})()


@pytest.mark.parametrize("length", [1, 7, 32])
def test_loss_by_position_equals_a_loop_in_float64(docs: CausalLM, length: int) -> None:
    task = CausalLM(docs.source, "char", docs.vocabulary_size, docs.train, docs.test[:300])
    logits = torch.randn(
        task.vocabulary_size, task.vocabulary_size, generator=torch.Generator().manual_seed(0)
    )
    measured = task.evaluate(Bigram(logits), length, torch.device("cpu"))
    logp = (logits.double() - logits.double().logsumexp(-1, keepdim=True)).numpy()
    blocks = 299 // length
    wanted = np.zeros(length)
    for block in range(blocks):
        for position in range(length):
            at = block * length + position
            wanted[position] -= logp[task.test[at], task.test[at + 1]] / blocks
    np.testing.assert_allclose(measured, wanted, rtol=1e-6)


def test_the_unigram_loss_is_the_entropy_of_equal_parts() -> None:
    task = CausalLM.from_source("builtin:python-docs")
    balanced = np.tile(np.arange(4, dtype=np.int32), 1000)
    even = CausalLM(task.source, "char", 4, balanced, balanced)
    assert even.unigram_loss() == pytest.approx(np.log(4))


def test_text_too_short_for_the_longest_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghij" * 50)
    task = CausalLM.from_source(str(tmp_path))
    task.check_lengths(32, (49,))
    with pytest.raises(DataError, match="held-out part") as caught:
        task.check_lengths(32, (16, 50))
    assert caught.value.got == "50 char tokens in the held-out part, longest length 50"
    with pytest.raises(DataError, match="training part"):
        task.check_lengths(450, (16,))
