"""Causal language modelling: predict each token from those before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.errors import DataError
from milepost.tasks.text import TextSource, read_text
from milepost.tasks.tokens import build_tokenizer

HELD_OUT_SHARE = 0.1
MAX_TEST_TOKENS = 65_536
_SEPARATOR = "\n\n"
_TOKENS_A_BATCH = 4_096  # of an evaluation; small enough for the caches of one core


@dataclass(frozen=True)
class CausalLM:
    """Token ids of the two parts of a text, and how batches and losses are drawn from them.

    Args:
        source: the documents.
        tokenizer: name of the tokenizer.
        vocabulary_size: different token ids.
        train: ids of the training part, shape ``(tokens,)``.
        test: ids of the held-out part, shape ``(tokens,)``; no document is in both parts unless there
            are too few documents to hold any out, then the end of each is held out.
    """

    source: TextSource
    tokenizer: str
    vocabulary_size: int
    train: Int32[np.ndarray, " tokens"]
    test: Int32[np.ndarray, " tokens"]

    @classmethod
    def from_source(cls, source: str, tokenizer: str = "char") -> Self:
        """Read, tokenize and split the data.

        Raises:
            DataError: MP110. UnknownName: MP104, no such tokenizer or built-in.

        >>> task = CausalLM.from_source("builtin:python-docs")
        >>> len(task.train) > 8 * len(task.test)
        True
        """
        text = read_text(source)
        tokens = build_tokenizer(tokenizer, (*text.documents, _SEPARATOR))
        train, test = _split(text.documents)
        return cls(
            text,
            tokenizer,
            tokens.vocabulary_size,
            tokens.encode(train),
            tokens.encode(test)[: MAX_TEST_TOKENS + 1],
        )

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data."""
        return {
            "source": self.source.name,
            "sha256": self.source.sha256,
            "documents": len(self.source.documents),
            "characters": self.source.characters,
            "tokenizer": self.tokenizer,
            "vocabulary": self.vocabulary_size,
            "train_tokens": len(self.train),
            "test_tokens": len(self.test),
            "unigram_loss": self.unigram_loss(),
        }

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths for which the text has not a single window.

        Raises:
            DataError: MP110.
        """
        for part, tokens, longest in (
            ("training", self.train, train_length),
            ("held-out", self.test, max(lengths)),
        ):
            if len(tokens) < longest + 1:
                raise DataError(
                    f"the text is too short: its {part} part does not fill one window",
                    got=f"{len(tokens)} {self.tokenizer} tokens in the {part} part, longest length {longest}",
                    fix=f"give more text (about {int((longest + 1) / HELD_OUT_SHARE) + 1} tokens in all), or shorter lengths",
                )

    def batch(self, seed: int, step: int, size: int, length: int) -> Int64[np.ndarray, "batch seq+1"]:
        """Token ids of one training batch: windows of ``length`` inputs and one token more.

        A function of its arguments alone, so every encoding sees the same batches and a resumed run
        needs no sampler state.
        """
        starts = np.random.default_rng([seed, step]).integers(0, len(self.train) - length, size=size)
        return self.train[starts[:, None] + np.arange(length + 1)].astype(np.int64)

    def loss(self, model: nn.Module, tokens: Int64[Tensor, "batch seq+1"]) -> Float[Tensor, ""]:
        """Mean negative log likelihood in nats a token; ``model`` is a transformers causal model."""
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device) -> list[float]:
        """Mean loss by position over the held-out text, cut in blocks of ``length`` without overlap.

        Returns:
            ``length`` floats in nats: entry *i* is the loss of the token that has *i* + 1 tokens of its
            block before it. Their mean is the loss at this length. Summed in float64.
        """
        blocks = (len(self.test) - 1) // length
        inputs = torch.from_numpy(self.test[: blocks * length].astype(np.int64)).view(blocks, length)
        targets = torch.from_numpy(self.test[1 : blocks * length + 1].astype(np.int64)).view(blocks, length)
        total = torch.zeros(length, dtype=torch.float64)
        size = max(1, _TOKENS_A_BATCH // length)
        for first in range(0, blocks, size):
            logits = model(input_ids=inputs[first : first + size].to(device), use_cache=False).logits
            wanted = targets[first : first + size].to(device)
            losses = functional.cross_entropy(
                logits.flatten(0, 1).float(), wanted.flatten(), reduction="none"
            )
            total += losses.view_as(wanted).double().sum(0).cpu()
        return (total / blocks).tolist()

    def unigram_loss(self) -> float:
        """Loss of predicting the held-out tokens from training frequencies alone, in nats.

        Any model that learnt something is below it. Frequencies are smoothed by adding one.
        """
        counts = np.bincount(self.train, minlength=self.vocabulary_size) + 1.0
        return float(-np.log(counts / counts.sum())[self.test].mean())


def _split(documents: tuple[str, ...]) -> tuple[str, str]:
    """Hold out whole documents, chosen by their hashes; the ends of documents where there are few."""
    held_out = sorted(range(len(documents)), key=lambda i: hashlib.sha256(documents[i].encode()).digest())
    wanted = HELD_OUT_SHARE * sum(map(len, documents))
    test: set[int] = set()
    for index in held_out:
        if wanted <= 0:
            break
        if len(documents[index]) <= 2 * wanted:  # one huge document must not become the whole held-out part
            test.add(index)
            wanted -= len(documents[index])
    if len(documents) < 10 or wanted > 0:
        cuts = [round(len(text) * (1 - HELD_OUT_SHARE)) for text in documents]
        parts = [(text[:cut], text[cut:]) for text, cut in zip(documents, cuts, strict=True)]
        return _SEPARATOR.join(part[0] for part in parts), _SEPARATOR.join(part[1] for part in parts)
    return (
        _SEPARATOR.join(text for index, text in enumerate(documents) if index not in test),
        _SEPARATOR.join(documents[index] for index in sorted(test)),
    )
