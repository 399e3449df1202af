"""What documents are asked, against the same worked out slowly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from milepost.tuning.selection.evaluation import (
    PASSAGES,
    LossReading,
    PassageReading,
    Text,
    passage_tokens,
    windows,
)

LENGTH = 32
DIM = 50


class Bag:
    """A model whose embedding counts words, and which sees the first ``limit`` tokens of what it gets."""

    kind = "embedding"
    length = LENGTH

    def room(self, length: int | None = None) -> int:
        return length or self.length

    def embed(self, tokens: np.ndarray, *, model: Any = None) -> np.ndarray:
        counts = np.bincount(tokens[: model or LENGTH], minlength=DIM) + 0.01
        return counts / np.linalg.norm(counts)


class Echo:
    """A language model whose loss is the number of tokens before, and after, in the input it gets."""

    length = LENGTH

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.inputs: list[tuple[np.ndarray, np.ndarray | None, Any]] = []

    def room(self, length: int | None = None) -> int:
        return length or self.length

    def losses(self, tokens: np.ndarray, *, masked: np.ndarray | None = None, model: Any = None) -> np.ndarray:  # fmt: skip
        assert model is not None or len(tokens) <= LENGTH
        self.inputs.append((tokens, masked, model))
        context = np.minimum(
            np.arange(len(tokens)), np.arange(len(tokens))[::-1] if masked is not None else 999
        )
        return np.where(True if masked is None else masked, context.astype(float), np.nan)


def documents(count: int, tokens: int) -> list[Text]:
    """Each has a word of its own, which is most of what lies past the first half."""
    random = np.random.default_rng(0)
    made = []
    for index in range(count):
        words = random.integers(30, DIM, tokens)
        words[LENGTH:] = np.where(random.random(tokens - LENGTH) < 0.6, index, words[LENGTH:])
        made.append(Text(index, words, tokens))
    return made


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("length", "size"), [(33, 32), (64, 32), (100, 32), (101, 31), (7, 7), (9, 2)])
def test_windows_score_every_token_once_and_with_context(length: int, size: int, causal: bool) -> None:
    scored = []
    for begin, end, first, last in windows(length, size, causal=causal):
        assert end - begin == size
        assert 0 <= begin <= first < last <= end <= length
        before, after = first - begin, end - last
        assert first == 0 or before >= (size // 2 if causal else size // 4)
        assert causal or last == length or after >= size // 4
        scored += range(first, last)
    assert scored == list(range(length))


def test_a_model_that_reads_whole_documents_finds_their_ends() -> None:
    texts = documents(12, 96)
    reading = PassageReading(Bag(), texts, seed=0)  # type: ignore[arg-type]
    before = reading.baseline()
    whole = reading.measure(96)  # type: ignore[arg-type]
    assert whole.values["end"].mean() > 0.9 > 0.5 > before.values["end"].mean()
    assert (whole.values["end_first"] >= before.values["end_first"]).all()
    parts = reading.references()["parts"]
    np.testing.assert_allclose(parts.values["agreement"], 1)
    weighted = (before.values["start"] * 32 + before.values["end"] * 64) / 96
    np.testing.assert_allclose(before.values["passages"], weighted)
    for outcome in (before, whole, parts):
        assert (outcome.positions.reshape(12, -1)[:, :PASSAGES] <= LENGTH - passage_tokens(LENGTH)).all()
        assert (outcome.positions.reshape(12, -1)[:, PASSAGES:] >= LENGTH).all()


def test_ranks_are_those_of_a_plain_search_and_ties_share_theirs() -> None:
    texts = documents(7, 80)
    texts.append(Text(7, texts[0].tokens, 80))  # the same document twice
    reading = PassageReading(Bag(), texts, seed=3)  # type: ignore[arg-type]
    outcome = reading.measure(80)  # type: ignore[arg-type]
    corpus = [Bag().embed(text.tokens, model=80) for text in texts]
    size = passage_tokens(LENGTH)
    expected = []
    for index, text in enumerate(texts):
        for begin in outcome.positions.reshape(len(texts), -1)[index]:
            query = Bag().embed(text.tokens[begin : begin + size])
            alike = [float(query @ one) for one in corpus]
            above = sum(value > alike[index] + 1e-12 for value in alike)
            equal = sum(abs(value - alike[index]) <= 1e-12 for value in alike)
            expected.append(1 / (1 + above + (equal - 1) / 2))
    np.testing.assert_allclose(outcome.scores, expected)
    assert (outcome.values["end"][[0, 7]] < 1).all()


def test_every_model_gets_the_same_masks_and_no_window_is_longer_than_the_model() -> None:
    echo = Echo("masked-lm")
    texts = documents(2, 100)
    reading = LossReading(echo, texts, seed=0)  # type: ignore[arg-type]
    before = reading.baseline()
    after = reading.measure("whole")  # type: ignore[arg-type]
    assert np.array_equal(before.positions, after.positions)
    assert {len(tokens) for tokens, _, model in echo.inputs if model is None} == {LENGTH}
    whole = [masked for tokens, masked, model in echo.inputs if len(tokens) == 100]
    assert [int(one[:LENGTH].sum()) for one in whole if one is not None] == [5, 5]
    assert [int(one[LENGTH:].sum()) for one in whole if one is not None] == [10, 10]
    far = before.positions >= LENGTH
    inner = far & (before.positions < 90)
    assert before.scores[inner].min() >= LENGTH // 4
    assert after.values["end"].mean() > before.values["end"].mean()


def test_a_causal_model_has_half_a_window_before_each_token() -> None:
    reading = LossReading(Echo("causal-lm"), documents(2, 100), seed=0)  # type: ignore[arg-type]
    before = reading.baseline()
    assert before.scores[before.positions >= LENGTH].min() == LENGTH // 2
    assert list(before.values) == ["end", "short"]


def test_beginnings_are_read_again_only_where_the_first_differs() -> None:
    echo = Echo("causal-lm")
    reading = LossReading(echo, documents(5, 100), seed=0)  # type: ignore[arg-type]
    reading.baseline()
    echo.inputs.clear()
    reading.measure("same")  # type: ignore[arg-type]
    assert sum(len(tokens) == LENGTH for tokens, _, _ in echo.inputs) == 1
    echo.inputs.clear()
    plain = echo.losses
    echo.losses = lambda tokens, **more: plain(tokens, **more) + 1  # type: ignore[method-assign]
    changed = reading.measure("other")  # type: ignore[arg-type]
    assert sum(len(tokens) == LENGTH for tokens, _, _ in echo.inputs) == 5
    np.testing.assert_allclose(changed.values["short"], 15.5 + 1)
