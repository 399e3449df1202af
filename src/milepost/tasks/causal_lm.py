"""Causal language modelling: predict each token from those before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from milepost.tasks.streams import Streams, stride_of
from milepost.tasks.task import Batch, Floor, Head, Measured, Metric, Options, Task


@dataclass(frozen=True)
class CausalLM(Task):
    """Predict each token of a text from the tokens before it.

    Args:
        streams: token ids of the three parts.
        evaluate_by: ``blocks`` cuts the text into blocks without overlap, so the first tokens of each see
            little; ``sliding`` moves a window by a quarter of its length and scores its last quarter alone.
    """

    streams: Streams
    evaluate_by: str = "blocks"

    name: ClassVar[str] = "causal-lm"
    reads_text = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "loss", "nats per token"),
        Metric("perplexity", "perplexity"),
    )

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read, split and tokenize text.

        Raises:
            DataError: MP110. UnknownName: MP104, no such tokenizer or built-in. OptionError: MP105.

        >>> task = CausalLM.open("builtin:python-docs", Options())
        >>> len(task.streams.parts["train"]) > 5 * len(task.streams.parts["test"])
        True
        """
        options.refuse(cls.name, "label_column", "patch", "horizon", "layout", "fill")
        return cls(Streams.read(source, options), options.evaluate)

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a token id."""
        return Head("causal-lm", vocabulary_size=self.streams.tokenizer.vocabulary_size)

    @property
    def sha256(self) -> str:  # type: ignore[override]
        """Identity of the text."""
        return self.streams.sha256

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data."""
        return {**self.streams.facts, "unigram_loss": self.streams.unigram_loss()}

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths for which the text has not a single window.

        Raises:
            DataError: MP110.
        """
        self.streams.check_lengths(train_length, max(lengths))

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """``tokens``: int64 windows of ``length`` inputs and one token more, shape ``(size, length + 1)``."""
        return {"tokens": self.streams.windows(seed, step, size, length + 1)}

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean negative log likelihood in nats a token; ``model`` is a transformers causal model."""
        tokens = batch["tokens"]
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Mean loss and perplexity over a part, and the loss by position.

        Returns:
            The curve has ``length`` floats in nats: entry *i* is the loss of the token that has *i* + 1
            tokens of its block before it; ``sliding`` gives the last quarter alone. The loss is their
            mean, summed in float64.
        """
        total, windows = torch.zeros(length, dtype=torch.float64), 0
        stride = stride_of(self.evaluate_by, length)
        for window in self.streams.blocks(part, length, stride, more=1):
            tokens = torch.from_numpy(window)
            logits = model(input_ids=tokens[:, :-1].to(device), use_cache=False).logits
            wanted = tokens[:, 1:].to(device)
            losses = functional.cross_entropy(
                logits.flatten(0, 1).float(), wanted.flatten(), reduction="none"
            )
            total += losses.view_as(wanted).double().sum(0).cpu()
            windows += len(tokens)
        curve = (total / windows).tolist()
        if self.evaluate_by == "sliding":
            curve = curve[-stride:]
        loss = math.fsum(curve) / len(curve)
        return Measured({"loss": loss, "perplexity": math.exp(min(loss, 700.0))}, curve)

    def floor(self) -> float:
        """Loss of predicting the training tokens from their frequencies alone, in nats."""
        return self.streams.unigram_loss("train")

    def floor_score(self, length: int) -> Floor:
        """Loss of predicting the test tokens from the frequencies of training, in nats."""
        return Floor(self.streams.unigram_loss())
