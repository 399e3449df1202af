from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from milepost.errors import DataError, OptionError, UnknownName
from milepost.models import ModelShape, build_scratch
from milepost.tasks import TASKS, Options, find_task
from milepost.tasks.generated import ANSWER, END, FIRST_SYMBOL, START, Generated
from milepost.tasks.task import FEW_ITEMS

CPU = torch.device("cpu")
VARIANTS = ["copy", "copy-repeated", "reverse", "addition", "parity", "sorting", "needle"]


def solve(variant: str, prompt: list[int]) -> list[int]:
    """The answer, worked out in another way than the tasks do it."""
    if variant.startswith("copy"):
        return prompt
    if variant == "reverse":
        return [prompt[-1 - i] for i in range(len(prompt))]
    if variant == "addition":
        plus = prompt.index(10)
        digits, carry = [], 0
        for a, b in zip(prompt[:plus][::-1], prompt[plus + 1 :][::-1], strict=True):
            digits.append((a + b + carry) % 10)
            carry = (a + b + carry) // 10
        return [carry, *digits[::-1]]
    if variant == "parity":
        return [prompt.count(1) % 2]
    if variant == "sorting":
        return [digit for digit in range(10) for _ in range(prompt.count(digit))]
    return [prompt[prompt.index(50) + 1]]


def make(variant: str) -> Generated:
    task = find_task(variant.split("-")[0]).open(f"builtin:{variant}", Options())
    assert isinstance(task, Generated)
    return task


def read(row: np.ndarray, labels: np.ndarray) -> tuple[list[int], list[int]]:
    """Prompt and answer of a sequence, and a check that marks and labels are where they belong."""
    row, labels = row.tolist(), labels.tolist()
    mark = row.index(ANSWER)
    end = labels.index(END)
    assert row[0] == START and ANSWER not in row[mark + 1 :]
    assert labels[mark:end] == row[mark + 1 : end + 1]
    assert {*labels[:mark], *labels[end + 1 :]} <= {-100}
    assert set(row[end + 1 :]) <= {END}
    return [t - FIRST_SYMBOL for t in row[1:mark]], [t - FIRST_SYMBOL for t in labels[mark:end]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_examples_are_marked_padded_and_right(variant: str) -> None:
    task = make(variant)
    batch = task.batch(3, 4, 200, 7)
    lengths = set()
    for row, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        prompt, answer = read(row, labels)
        assert answer == solve(variant, prompt)
        lengths.add(next(n for n in range(1, 8) if task.sizes(n) == (len(prompt), len(answer))))
    assert lengths == set(range(1, 8))
    assert batch["input_ids"].shape == (200, task.positions(7))
    assert batch["input_ids"].max() < task.head.vocabulary_size


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_is_a_function_of_its_arguments(variant: str) -> None:
    task = make(variant)
    first = task.batch(1, 2, 16, 9)["input_ids"]
    assert np.array_equal(first, make(variant).batch(1, 2, 16, 9)["input_ids"])
    assert not np.array_equal(first, task.batch(1, 3, 16, 9)["input_ids"])
    assert not np.array_equal(first, task.batch(2, 2, 16, 9)["input_ids"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_measured_is_never_trained_on(variant: str) -> None:
    task = make(variant)
    trained = set()
    for step in range(40):
        batch = task.batch(0, step, 64, 8)
        trained |= {tuple(read(*pair)[0]) for pair in zip(*batch.values(), strict=True)}
    held = {
        part: {tuple(example.prompt) for n in (6, 7, 8) for example in task._held_out(n, part)}
        for part in ("test", "validation")
    }
    assert len(held["test"]) > 20 and len(held["validation"]) > 10
    assert not trained & (held["test"] | held["validation"])
    assert not held["test"] & held["validation"]


def test_short_lengths_are_all_for_training_and_not_measured() -> None:
    task = make("parity")
    seen = {tuple(read(*pair)[0]) for pair in zip(*task.batch(0, 0, 400, 2).values(), strict=True)}
    assert seen == {(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)}
    with pytest.raises(DataError, match="length 5") as caught:
        task.check_lengths(8, (5, 10))
    assert caught.value.got == "32 prompts, 50 wanted" and caught.value.fix == "lengths from 6 on"
    task.check_lengths(8, (6, 10))
    with pytest.raises(OptionError, match="at least 1"):
        task.check_lengths(8, (0,))


@pytest.mark.parametrize("name", ["copy", "reverse", "addition", "parity", "sorting", "needle"])
def test_each_task_is_found_by_name_with_data_and_lengths_of_its_own(name: str) -> None:
    kind = find_task(name)
    assert name in TASKS and kind.name == name
    task = kind.open(kind.source, Options())
    task.check_lengths(kind.train_length, kind.lengths)
    assert max(kind.lengths) >= 2 * kind.train_length
    assert task.facts()["sha256"] == task.sha256


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_has_enough_different_prompts_at_its_own_lengths(variant: str) -> None:
    task = make(variant)
    for length in (*task.lengths, task.train_length):
        prompts = {tuple(example.prompt.tolist()) for example in task._held_out(length, "test")}
        assert task.count_items(length) == len(prompts) >= FEW_ITEMS
    assert task.notes(task.train_length, task.lengths) == []


def test_the_prompts_of_one_repeated_symbol_are_all_that_the_test_part_has() -> None:
    task = make("copy-repeated")
    every = [np.full(15, symbol) for symbol in range(task.vocabulary)]
    assert task.count_items(15) == sum(task.part_of(prompt, 15) == "test" for prompt in every)


def test_a_metric_over_few_different_prompts_is_flagged() -> None:
    task = make("parity")
    (note,) = task.notes(10, (6, 10, 12))
    assert f"few different prompts: {task.count_items(6)} at length 6." in note and task.count_items(6) < 20
    assert "exact match" in note and "length 10" not in note


def test_variants_and_tasks_differ_in_identity() -> None:
    assert len({make(variant).sha256 for variant in VARIANTS}) == len(VARIANTS)


def test_other_data_and_options_are_refused() -> None:
    with pytest.raises(UnknownName, match="builtin:copy-repeated"):
        find_task("copy").open("builtin:copy-repeats", Options())
    with pytest.raises(UnknownName):
        find_task("copy").open("copy", Options())
    with pytest.raises(OptionError, match="tokenizer"):
        find_task("needle").open("builtin:needle", Options(tokenizer="byte"))


class Oracle(nn.Module):
    """Knows the right next token of each sequence it has been shown, and gets chosen ones wrong."""

    def __init__(self, task: Generated, length: int, wrong: int) -> None:
        super().__init__()
        examples = task._held_out(length, "test")
        arrays = task._arrange(examples, task.positions(length))
        self.size = task.head.vocabulary_size
        self.known = {
            row.tobytes(): labels
            for row, labels in zip(arrays["input_ids"], arrays["labels"].copy(), strict=True)
        }
        for labels in list(self.known.values())[:wrong]:
            labels[labels == END] = START  # one token of the answer

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> object:
        labels = np.stack([self.known[row.numpy().tobytes()] for row in input_ids])
        wanted = torch.from_numpy(labels).clamp(min=0)
        logits = 20.0 * nn.functional.one_hot(wanted, self.size).float()
        return type("Output", (), {"logits": logits})()


@pytest.mark.parametrize("variant", ["copy", "parity"])
def test_metrics_count_whole_answers_tokens_and_losses(variant: str) -> None:
    task, length = make(variant), 7
    count, tokens = len(task._held_out(length, "test")), task.sizes(length)[1] + 1
    perfect = task.evaluate(Oracle(task, length, 0), length, CPU)
    assert perfect.metrics["exact_match"] == perfect.metrics["token_accuracy"] == 1.0
    assert perfect.metrics["loss"] < 1e-6 and len(perfect.curve) == tokens
    spoilt = task.evaluate(Oracle(task, length, 5), length, CPU)
    assert spoilt.metrics["exact_match"] == pytest.approx(1 - 5 / count)
    assert spoilt.metrics["token_accuracy"] == pytest.approx(1 - 5 / (count * tokens))
    assert spoilt.metrics["loss"] == pytest.approx(20.0 * 5 / (count * tokens), rel=1e-4)
    assert spoilt.curve[-1] == pytest.approx(20.0 * 5 / count, rel=1e-4)


def test_the_needle_tells_apart_where_it_stands() -> None:
    task, length = make("needle"), 9
    thirds = task.evaluate(Oracle(task, length, 0), length, CPU).breakdown["exact match by place"]
    assert thirds == {"first third": 1.0, "middle third": 1.0, "last third": 1.0}
    places = [example.place for example in task._held_out(length, "test")]
    spoilt = task.evaluate(Oracle(task, length, 5), length, CPU).breakdown["exact match by place"]
    first = [place < 1 / 3 for place in places]
    assert spoilt["first third"] == pytest.approx(1 - sum(first[:5]) / sum(first))
    assert make("copy").evaluate(Oracle(make("copy"), 5, 0), 5, CPU).breakdown == {}


def small(task: Generated, encoding: str, length: int) -> nn.Module:
    shape = ModelShape(
        layers=2, dim=32, heads=4, init_std=0.1, max_len=task.positions(length), vocabulary_size=task.head.vocabulary_size
    )  # fmt: skip
    return build_scratch(task.head.kind, shape, encoding=encoding, seed=0)


@torch.no_grad()
def test_an_exact_match_is_what_greedy_decoding_gives() -> None:
    task, length = make("parity"), 6
    model = small(task, "sinusoidal", length).eval()
    model.lm_head.weight.data[FIRST_SYMBOL:] += 0.05  # so that some answers are right by chance
    exact = []
    for prompt, answer, _ in task._held_out(length, "test"):
        tokens = torch.tensor([[START, *(prompt + FIRST_SYMBOL), ANSWER]])
        for _ in range(len(answer) + 1):
            following = model(input_ids=tokens, use_cache=False).logits[:, -1:].argmax(-1)
            tokens = torch.cat([tokens, following], 1)
        exact.append(tokens[0, len(prompt) + 2 :].tolist() == [*(answer + FIRST_SYMBOL).tolist(), END])
    assert task.evaluate(model, length, CPU).metrics["exact_match"] == pytest.approx(np.mean(exact))


def test_the_floor_is_the_entropy_of_answers_alone() -> None:
    assert make("parity").floor() == pytest.approx(np.log(2) / 2, rel=1e-3)
    assert make("copy").floor() == pytest.approx(np.log(50) * 8 / 9, rel=0.02)
    assert make("sorting").floor() < make("copy").floor()


def test_a_small_model_learns_in_a_few_dozen_steps() -> None:
    task = make("sorting")
    model = small(task, "rotary", 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for step in range(80):
        batch = {name: torch.from_numpy(array) for name, array in task.batch(0, step, 32, 3).items()}
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.7 * task.floor() < np.mean(losses[:10])


def test_the_loss_is_of_answers_alone() -> None:
    task = make("needle")
    model = small(task, "learned", 5).eval()
    batch = {name: torch.from_numpy(array) for name, array in task.batch(0, 0, 8, 5).items()}
    with torch.no_grad():
        logp = model(input_ids=batch["input_ids"]).logits.double().log_softmax(-1)
        wanted = [
            -logp[row, place, label].item()
            for row, labels in enumerate(batch["labels"].tolist())
            for place, label in enumerate(labels)
            if label >= 0
        ]
        assert len(wanted) == 16
        assert task.loss(model, batch).item() == pytest.approx(np.mean(wanted), rel=1e-5)
