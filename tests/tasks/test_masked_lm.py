from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from milepost.errors import OptionError
from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.tasks.masked_lm import MaskedLM
from milepost.tasks.task import Options, to_device

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def docs() -> MaskedLM:
    return MaskedLM.open("builtin:python-docs", Options())


def with_parts(task: MaskedLM, **parts: np.ndarray) -> MaskedLM:
    return replace(task, streams=replace(task.streams, parts={**task.streams.parts, **parts}))


def test_a_batch_is_a_function_of_its_arguments(docs: MaskedLM) -> None:
    one, again = docs.batch(3, 7, 5, 16), docs.batch(3, 7, 5, 16)
    assert all(np.array_equal(one[name], again[name]) for name in ("input_ids", "labels"))
    for other in (docs.batch(3, 8, 5, 16), docs.batch(4, 7, 5, 16)):
        assert not np.array_equal(one["input_ids"], other["input_ids"])
        assert not np.array_equal(one["labels"] < 0, other["labels"] < 0)


def test_of_the_chosen_tokens_most_are_masked_some_replaced_and_some_left(docs: MaskedLM) -> None:
    batch = docs.batch(0, 0, 400, 100)
    ids, labels = batch["input_ids"], batch["labels"]
    mask, chosen = docs.streams.tokenizer.vocabulary_size, labels != -100
    assert chosen.sum() == 6000
    assert not (ids[~chosen] == mask).any()
    hidden, left = ids[chosen] == mask, ids[chosen] == labels[chosen]
    assert hidden.mean() == pytest.approx(0.8, abs=0.02)
    assert left.mean() == pytest.approx(0.1, abs=0.02)
    replaced = ids[chosen][~hidden & ~left]
    assert np.bincount(replaced, minlength=mask).max() < 30  # spread over the vocabulary
    window = np.where(chosen, labels, ids).astype(np.int32)
    assert all(row.tobytes() in docs.streams.parts["train"].tobytes() for row in window[:20])


class Neighbour(nn.Module):
    """Predicts a token from the one that is shown before it, so that losses can be counted by hand."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(logits)
        self.shown: list[torch.Tensor] = []

    def forward(self, input_ids: torch.Tensor) -> object:
        self.shown.append(input_ids)
        return type("Output", (), {"logits": self.table[input_ids.roll(1, 1)]})()


@pytest.mark.parametrize("protocol", ["blocks", "sliding"])
@pytest.mark.parametrize(("length", "tokens"), [(8, 1000), (32, 3000), (32, 100)])
def test_loss_by_position_equals_a_loop_in_float64(
    docs: MaskedLM, protocol: str, length: int, tokens: int
) -> None:
    task = with_parts(docs, test=docs.streams.parts["test"][:tokens])
    task = replace(task, evaluate_by=protocol)
    size = task.head.vocabulary_size
    logits = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    model = Neighbour(logits)
    measured = task.evaluate(model, length, CPU)
    ids, step = task.streams.parts["test"], length if protocol == "blocks" else length // 4
    starts = range(0, tokens - length + 1, step)
    windows = [ids[start : start + length] for start in starts] * max(1, -(-20 // len(starts)))
    shown = torch.cat(model.shown).numpy()
    logp = (logits.double() - logits.double().logsumexp(-1, keepdim=True)).numpy()
    table = np.full((len(windows), length), np.nan)
    model.shown.clear()
    labels = _labels_of(task, length, len(windows), step)
    for row, window in enumerate(windows):
        for place in range(length):
            if labels[row, place]:
                table[row, place] = -logp[shown[row, place - 1], window[place]]
            else:
                assert shown[row, place] == window[place]
    wanted = np.nanmean(table, axis=0)
    if protocol == "sliding":
        wanted = wanted[(length - step) // 2 :][:step]
    np.testing.assert_allclose(measured.curve, wanted, rtol=1e-6)
    assert measured.metrics["loss"] == pytest.approx(wanted.mean(), rel=1e-6)
    assert measured.metrics["perplexity"] == pytest.approx(np.exp(wanted.mean()), rel=1e-6)


def _labels_of(task: MaskedLM, length: int, windows: int, step: int) -> np.ndarray:
    from milepost.tasks.masked_lm import choose_evenly

    chosen = choose_evenly(windows, length, np.random.default_rng([length, step]))
    counts = chosen.sum(0)
    assert len(set(counts.tolist())) == 1  # each position is measured equally often
    assert counts[0] / windows == pytest.approx(0.15, abs=0.03)
    return chosen


def test_masks_of_an_evaluation_are_the_same_for_all_models(docs: MaskedLM) -> None:
    size = docs.head.vocabulary_size
    models = [Neighbour(torch.randn(size, size)) for _ in "ab"]
    task = with_parts(docs, test=docs.streams.parts["test"][:600])
    for model in models:
        task.evaluate(model, 16, CPU)
    assert torch.equal(torch.cat(models[0].shown), torch.cat(models[1].shown))


def test_the_floor_is_what_counting_finds_for_a_model_that_sees_one_token(docs: MaskedLM) -> None:
    rng = np.random.default_rng(0)
    skewed = rng.choice(5, size=200_000, p=[0.5, 0.2, 0.15, 0.1, 0.05]).astype(np.int32)
    tokenizer = replace(docs.streams.tokenizer, vocabulary_size=5)
    streams = replace(docs.streams, tokenizer=tokenizer, parts={"train": skewed, "test": skewed[:60_000]})
    task = replace(docs, streams=streams)
    batch = task.batch(0, 0, 2000, 100)
    chosen = batch["labels"] != -100
    shown, truth = batch["input_ids"][chosen], batch["labels"][chosen]
    counts = np.zeros((6, 5))
    np.add.at(counts, (shown, truth), 1)
    empirical = -np.log((counts / counts.sum(1, keepdims=True))[shown, truth]).mean()
    assert task.floor() == pytest.approx(empirical, abs=0.02)
    assert task.floor() < streams.unigram_loss() - 0.02


def test_options_without_use_and_unknown_protocols_are_refused() -> None:
    for options in (Options(evaluate="strided"), Options(label_column="label"), Options(patch=4)):
        with pytest.raises(OptionError):
            MaskedLM.open("builtin:python-docs", options)


def test_a_small_model_learns_what_its_neighbours_say(docs: MaskedLM) -> None:
    runs = np.random.default_rng(0).permutation(800).repeat(40).astype(np.int32) % 8
    task = with_parts(docs, train=runs[4000:], test=runs[:1600])
    size = task.head.vocabulary_size
    shape = ModelShape(layers=1, dim=32, heads=4, init_std=0.1, max_len=16, vocabulary_size=size)
    model = build_scratch("masked-lm", shape, encoding="learned", seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(40):
        loss = task.loss(model, to_device(task.batch(0, step, 16, 16), CPU))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    measured = task.evaluate(model.eval(), 16, CPU)
    assert measured.metrics["loss"] < task.floor() / 2
    assert len(measured.curve) == 16
