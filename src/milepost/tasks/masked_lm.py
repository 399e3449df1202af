"""Masked language modelling: recover tokens that were hidden, from both sides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.tasks.batches import IGNORED, TOKENS_A_BATCH
from milepost.tasks.streams import Streams, stride_of
from milepost.tasks.task import Batch, Floor, Head, Measured, Metric, Options, Task, to_device

SHARE = 0.15  # of tokens that are to be recovered
_MASKED, _REPLACED = 0.8, 0.1  # of those; the rest stay as they are
_GROUP = 20  # windows in which each position is chosen equally often: three times


@dataclass(frozen=True)
class MaskedLM(Task):
    """Recover 15 % of the tokens: 80 % of them are masked, 10 % replaced by random ones, 10 % left.

    Source: Devlin et al. 2019, section 3.1. Differs: a training batch has the share exactly, as a whole;
    masks of an evaluation are fixed, and fall on each position equally often.

    Args:
        streams: token ids of the three parts.
        evaluate_by: ``blocks`` cuts the text into blocks without overlap, so tokens near both ends of each
            see little on one side; ``sliding`` moves a window by a quarter of its length and scores its
            middle quarter alone.
    """

    streams: Streams
    evaluate_by: str = "blocks"

    name: ClassVar[str] = "masked-lm"
    reads_text = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "loss", "nats per masked token"),
        Metric("perplexity", "perplexity"),
    )

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read, split and tokenize text; a tokenizer without a mask token gets one more id.

        Raises:
            DataError: MP110. UnknownName: MP104, no such tokenizer or built-in. OptionError: MP105.

        >>> task = MaskedLM.open("builtin:python-docs", Options())
        >>> task.head.vocabulary_size - task.streams.facts["vocabulary"]
        1
        """
        options.refuse(cls.name, "label_column", "patch", "horizon", "layout", "fill")
        return cls(Streams.read(source, options), options.evaluate)

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a token id."""
        tokenizer = self.streams.tokenizer.with_specials("mask")
        return Head("masked-lm", vocabulary_size=tokenizer.vocabulary_size)

    @property
    def sha256(self) -> str:  # type: ignore[override]
        """Identity of the text and the tokenizer."""
        return self.streams.sha256

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data."""
        unigram = self.streams.unigram_loss()
        return {**self.streams.facts, "unigram_loss": unigram, "context_free_loss": self.floor()}

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths for which the text has not a single window.

        Raises:
            DataError: MP110.
        """
        self.streams.check_lengths(train_length, max(lengths))

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """``input_ids`` and ``labels``, int64 of shape ``(size, length)``; labels of tokens that count for nothing are -100."""
        tokens = self.streams.windows(seed, step, size, length)
        rng = np.random.default_rng([seed, step, 1])
        chosen = np.zeros(tokens.size, bool)
        chosen[rng.permutation(tokens.size)[: max(1, round(SHARE * tokens.size))]] = True
        return self._hide(tokens, chosen.reshape(tokens.shape), rng)

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean negative log likelihood in nats a chosen token; ``model`` is a transformers masked model."""
        logits = model(input_ids=batch["input_ids"]).logits
        return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Mean loss and pseudo-perplexity over the masks of a part, and the loss by position.

        A part of fewer than twenty windows is measured several times, under other masks.

        Returns:
            The curve has ``length`` floats in nats; ``sliding`` gives the middle quarter alone. The loss is
            their mean, summed in float64.
        """
        stride = stride_of(self.evaluate_by, length)
        windows = np.concatenate(list(self.streams.blocks(part, length, stride)))
        windows = np.tile(windows, (math.ceil(_GROUP / len(windows)), 1))
        rng = np.random.default_rng([length, stride])
        hidden = self._hide(windows, choose_evenly(len(windows), length, rng), rng)
        total, size = torch.zeros(length, dtype=torch.float64), max(1, TOKENS_A_BATCH // length)
        for first in range(0, len(windows), size):
            batch = to_device({name: array[first : first + size] for name, array in hidden.items()}, device)
            logits = model(input_ids=batch["input_ids"]).logits
            losses = functional.cross_entropy(
                logits.flatten(0, 1).float(),
                batch["labels"].flatten(),
                ignore_index=IGNORED,
                reduction="none",
            )
            total += losses.view_as(batch["labels"]).double().sum(0).cpu()
        curve = (total.numpy() / (hidden["labels"] != IGNORED).sum(0)).tolist()
        if self.evaluate_by == "sliding":
            begin = (length - stride) // 2
            curve = curve[begin : begin + stride]
        loss = math.fsum(curve) / len(curve)
        return Measured({"loss": loss, "perplexity": math.exp(min(loss, 700.0))}, curve)

    def floor_score(self, length: int) -> Floor:
        """Loss of the best model that sees of a text only the token that it is to name, on the training part."""
        return Floor(self.floor())

    def floor(self) -> float:
        """Loss, on the training part, of the best model that sees of a text only the token that it is to name.

        Masked, a token is as frequent as in training; one that is shown was left or replaced, and the better
        guess is itself. In nats.
        """
        share, size = self.streams.frequencies(), self.streams.tokenizer.vocabulary_size
        shown = 1 - _MASKED
        left = 1 - _REPLACED / shown
        each = (1 - left) / size  # chance that a token was replaced by a given one
        seen = np.log(left * share + each)  # how often each is shown; what it was follows by Bayes' rule
        itself = (left + each) * (np.log((left + each) * share) - seen)
        another = (size - 1) * each * np.log(each * share) - each * (seen.sum() - seen)
        gain = _MASKED * np.log(share) + shown * (itself + another)
        return float(-(share * gain).sum())

    def _hide(
        self,
        tokens: Int64[np.ndarray, "windows length"],
        chosen: Bool[np.ndarray, "windows length"],
        rng: np.random.Generator,
    ) -> Batch:
        """Mask, replace or leave the chosen tokens."""
        tokenizer = self.streams.tokenizer
        fate = rng.random(tokens.shape)
        others = rng.integers(0, tokenizer.vocabulary_size, size=tokens.shape)
        ids = np.where(chosen & (fate < _MASKED + _REPLACED), others, tokens)
        ids[chosen & (fate < _MASKED)] = tokenizer.with_specials("mask").specials["mask"]
        return {"input_ids": ids, "labels": np.where(chosen, tokens, IGNORED)}


def choose_evenly(windows: int, length: int, rng: np.random.Generator) -> Bool[np.ndarray, "windows length"]:
    """Choose 15 % of all places so that each position is chosen equally often in every twenty windows.

    >>> choose_evenly(40, 4, np.random.default_rng(0)).sum(0).tolist()
    [6, 6, 6, 6]
    """
    groups = np.array_split(np.arange(windows), max(1, windows // _GROUP))
    ranks = [(rng.random((len(one), length)).argsort(0), round(SHARE * len(one))) for one in groups]
    return np.concatenate([rank < count for rank, count in ranks])
