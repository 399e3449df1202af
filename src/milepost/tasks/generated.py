"""What tasks on generated symbols share: short examples to learn from, longer ones to solve."""

from __future__ import annotations

import abc
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.corpus.text import BUILTIN_PREFIX
from milepost.errors import DataError, OptionError, UnknownName
from milepost.tasks.task import Batch, Floor, Head, Measured, Metric, Options, Task

START, ANSWER, END = 0, 1, 2
"""Token ids before the symbols: of the beginning, of the answer's beginning, of its end and of padding."""
FIRST_SYMBOL = 3
FEWEST_INPUTS = 50
_IGNORED = -100  # the label of what is no part of an answer
_TEST_SHARE, _VALIDATION_SHARE = 0.2, 0.1
_MEASURED = 256
_TOKENS_A_BATCH = 4_096
_FLOOR_LENGTH, _FLOOR_EXAMPLES = 8, 2_000


class Example(NamedTuple):
    """Symbols of one example, int64, from 0 on.

    Args:
        prompt: what is given.
        answer: what is asked for.
        place: where in the prompt the answer stands, as a share of its length; ``None`` where it has no place.
    """

    prompt: Int64[np.ndarray, " symbols"]
    answer: Int64[np.ndarray, " symbols"]
    place: float | None = None


@dataclass(frozen=True)
class Generated(Task):
    """Answer a prompt of symbols; the length counts the symbols that the prompt is about.

    A sequence is a start mark, the prompt, an answer mark, the answer and an end mark; the loss is of the answer
    and its end alone. Training draws lengths evenly from 1 to the trained one; each measured length is met alone.

    Training and measuring share no prompt: the hash of a prompt decides whether it is for training (70 %),
    validation (10 %) or test (20 %). Of lengths with fewer than 50 different prompts all are for training, and
    measuring there is refused.

    Args:
        variant: which form of the task, one of ``variants``.

    Source: Kazemnejad et al. 2023, section 3, for the protocol. Differs: symbols are tokens, without words
    around them.
    """

    variant: str

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("exact_match", "exact match", higher_is_better=True, bounded=True),
        Metric("token_accuracy", "token accuracy", higher_is_better=True, bounded=True),
        Metric("loss", "loss", "nats per token of the answer"),
    )
    unit: ClassVar[str] = "symbols"
    item: ClassVar[str] = "prompts"
    train_length: ClassVar[int] = 10
    lengths: ClassVar[tuple[int, ...]] = (8, 10, 12, 16, 20)
    variants: ClassVar[Mapping[str, int]]  # different symbols of each

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """An example of this length."""

    @abc.abstractmethod
    def sizes(self, length: int) -> tuple[int, int]:
        """Symbols of a prompt and of an answer."""

    @abc.abstractmethod
    def count_prompts(self, length: int) -> int:
        """How many different prompts there are of this length."""

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read which variant is wanted: ``builtin:VARIANT``.

        Raises:
            UnknownName: MP104, no variant of this name. OptionError: MP105, an option for other data.
        """
        options.refuse(cls.name, *Options.__dataclass_fields__)
        variant = source.removeprefix(BUILTIN_PREFIX)
        if variant not in cls.variants or variant == source:
            known = [BUILTIN_PREFIX + name for name in cls.variants]
            raise UnknownName.among(f"data for the task {cls.name}", source, known)
        return cls(variant)

    @property
    def vocabulary(self) -> int:
        """Different symbols."""
        return self.variants[self.variant]

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a token id."""
        return Head("causal-lm", vocabulary_size=FIRST_SYMBOL + self.vocabulary)

    @property
    def sha256(self) -> str:  # type: ignore[override]
        """Identity of the generator: its name and how it marks and parts examples."""
        held = f"{FEWEST_INPUTS} {_TEST_SHARE} {_VALIDATION_SHARE} {_MEASURED}"
        return hashlib.sha256(f"{self.name} {self.variant} {self.vocabulary} {held}".encode()).hexdigest()

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data."""
        return {
            "source": BUILTIN_PREFIX + self.variant,
            "sha256": self.sha256,
            "vocabulary": self.head.vocabulary_size,
            "test_share": _TEST_SHARE,
            "validation_share": _VALIDATION_SHARE,
            "most_prompts_per_length": _MEASURED,
        }

    def count_items(self, length: int) -> int:
        """Different prompts that are measured at this length."""
        return len(self._held_out(length, "test"))

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths with too few different prompts to hold any out.

        Raises:
            DataError: MP110. OptionError: MP105, a length below 1.
        """
        for length in (train_length, *lengths):
            if length < 1:
                raise OptionError("a length must be at least 1", got=str(length), fix="give 1 or more")
            if self.count_prompts(length) < FEWEST_INPUTS:
                enough = next(n for n in range(length, 100) if self.count_prompts(n) >= FEWEST_INPUTS)
                raise DataError(
                    f"too few different prompts of length {length} to measure on others than were trained on",
                    got=f"{self.count_prompts(length)} prompts, {FEWEST_INPUTS} wanted",
                    fix=f"lengths from {enough} on",
                )

    def positions(self, length: int) -> int:
        """Positions of a whole sequence but its end mark, which is predicted and never read."""
        return sum(self.sizes(length)) + 2

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """Examples of lengths 1 to ``length``, padded on the right.

        Returns:
            ``input_ids`` and ``labels``, int64 of shape ``(size, positions(length))``; labels are -100 outside of
            answers.
        """
        rng = np.random.default_rng([seed, step])
        made = [self._draw_of(rng, int(one), "train") for one in rng.integers(1, length + 1, size)]
        return self._arrange(made, self.positions(length))

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean negative log likelihood in nats a token of the answers; ``model`` is a causal model."""
        # pads stand behind everything that counts, where a causal model does not look
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits
        return functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=_IGNORED
        )

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Measure on up to 256 different prompts of this length that training never meets.

        An exact match is an answer, its end included, that greedy decoding gives: one whose every token has the
        highest probability after the right ones before it.

        Returns:
            The curve has a loss in nats for each token of the answer, its end included.
        """
        examples = self._held_out(length, part)
        right, losses = [], []
        size = max(1, _TOKENS_A_BATCH // self.positions(length))
        answer = self.sizes(length)[1] + 1
        for first in range(0, len(examples), size):
            arrays = self._arrange(examples[first : first + size], self.positions(length))
            inputs, labels = (torch.from_numpy(arrays[name]).to(device) for name in ("input_ids", "labels"))
            logits = model(input_ids=inputs, use_cache=False).logits[:, -answer:].float()
            wanted = labels[:, -answer:]
            right.append((logits.argmax(-1) == wanted).cpu())
            losses.append(functional.cross_entropy(logits.mT, wanted, reduction="none").double().cpu())
        hits, curve = torch.cat(right), torch.cat(losses).mean(0)
        exact = hits.all(-1)
        metrics = {
            "exact_match": exact.double().mean().item(),
            "token_accuracy": hits.double().mean().item(),
            "loss": curve.mean().item(),
        }
        return Measured(metrics, curve.tolist(), _by_place(examples, exact.tolist()))

    def floor(self) -> float:
        """Loss of a model that knows how answers look and ignores prompts, in nats a token; measured at length 8."""
        rng = np.random.default_rng(0)
        answers = np.stack(
            [self._draw_of(rng, _FLOOR_LENGTH, "train").answer for _ in range(_FLOOR_EXAMPLES)]
        )
        entropies = []
        for place in answers.T:
            shares = np.bincount(place) / len(place)
            entropies.append(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
        return float(sum(entropies)) / (len(entropies) + 1)  # the end is always there

    def floor_score(self, length: int) -> Floor:
        """Exact matches of always giving the answer that is most frequent in training at this length."""
        rng, answers = np.random.default_rng(0), Counter[bytes]()
        for _ in range(_FLOOR_EXAMPLES):
            answers[self._draw_of(rng, length, "train").answer.tobytes()] += 1
        share = answers.most_common(1)[0][1] / _FLOOR_EXAMPLES
        return Floor.of_share(share, self.count_items(length))

    def _draw_of(self, rng: np.random.Generator, length: int, part: str) -> Example:
        """An example of a part; a third of all draws are of another and are drawn again."""
        while True:
            example = self.draw(rng, length)
            if self.part_of(example.prompt, length) == part:
                return example

    def part_of(self, prompt: Int64[np.ndarray, " symbols"], length: int) -> str:
        """The part that a prompt is for, ``train``, ``validation`` or ``test``, by its hash alone."""
        if self.count_prompts(length) < FEWEST_INPUTS:
            return "train"
        digest = hashlib.blake2b(f"{self.variant} {length}".encode() + prompt.tobytes(), digest_size=4)
        share = int.from_bytes(digest.digest(), "little") / 2**32
        if share < _TEST_SHARE:
            return "test"
        return "validation" if share < _TEST_SHARE + _VALIDATION_SHARE else "train"

    def _held_out(self, length: int, part: str) -> list[Example]:
        """Up to 256 different examples of a part, always the same ones."""
        rng = np.random.default_rng([length, part == "test"])
        found: dict[bytes, Example] = {}
        for _ in range(
            min(40 * _MEASURED, 20 * self.count_prompts(length))
        ):  # there may be fewer than wanted
            example = self.draw(rng, length)
            if self.part_of(example.prompt, length) == part:
                found[example.prompt.tobytes()] = example
                if len(found) == _MEASURED:
                    break
        return list(found.values())

    def _arrange(self, examples: list[Example], positions: int) -> Batch:
        """Sequences without their end marks, and at each place the token that follows where it counts."""
        inputs = np.full((len(examples), positions), END, dtype=np.int64)
        labels = np.full_like(inputs, _IGNORED)
        for row, (prompt, answer, _) in enumerate(examples):
            begin = len(prompt) + 1
            inputs[row, 0], inputs[row, begin] = START, ANSWER
            inputs[row, 1:begin] = prompt + FIRST_SYMBOL
            inputs[row, begin + 1 : begin + 1 + len(answer)] = answer + FIRST_SYMBOL
            labels[row, begin : begin + len(answer)] = answer + FIRST_SYMBOL
            labels[row, begin + len(answer)] = END
        return {"input_ids": inputs, "labels": labels}


def _by_place(examples: list[Example], exact: list[bool]) -> dict[str, dict[str, float]]:
    """Exact matches by where in the prompt the answer stands, in thirds; nothing where it has no place."""
    thirds = dict(_thirds(examples, exact))
    return {"exact match by place": thirds} if thirds else {}


def _thirds(examples: list[Example], exact: list[bool]) -> Iterator[tuple[str, float]]:
    for third, name in enumerate(("first third", "middle third", "last third")):
        found = [
            hit
            for example, hit in zip(examples, exact, strict=True)
            if example.place is not None and int(3 * example.place) == third
        ]
        if found:
            yield name, sum(found) / len(found)
