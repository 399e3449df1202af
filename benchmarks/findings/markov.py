"""Models on a Markov language, whose best losses are known: predicting the next letter, and hidden letters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.findings.study import CPU, Measures, Study, fit
from milepost.comparison.design import Model, Training
from milepost.corpus.markov import MarkovChain
from milepost.tasks import CausalLM, Head, Options
from milepost.tasks.task import Batch

LENGTH = 32
SIZE = Model(layers=2, dim=64, heads=8)
CHAIN = MarkovChain.draw()


class Hidden:
    """Predict letters of which 15 % are hidden behind one token, in both directions.

    Unlike masked language modelling proper no letter is replaced by another, so that the best loss is exact.
    """

    name: ClassVar[str] = "hidden-letters"
    mask: ClassVar[int] = 16
    head: ClassVar[Head] = Head("masked-lm", vocabulary_size=17)
    sha256: ClassVar[str] = "MarkovChain.draw()"
    share: ClassVar[float] = 0.15

    def __init__(self) -> None:
        letters = np.array(CHAIN.sample(400_000, seed=1))
        self.train, self.test = letters[:360_000], letters[360_000:]

    def positions(self, length: int) -> int:
        return length

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        rng = np.random.default_rng([seed, step])
        starts = rng.integers(0, len(self.train) - length, size)
        letters = self.train[starts[:, None] + np.arange(length)]
        return {"letters": letters, "hidden": rng.random(letters.shape) < self.share}

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        letters, hidden = batch["letters"], batch["hidden"]
        logits = model(input_ids=letters.masked_fill(hidden, self.mask)).logits
        return functional.cross_entropy(logits[hidden], letters[hidden])

    def held_out(self, length: int) -> Batch:
        letters = self.test[: len(self.test) // length * length].reshape(-1, length)
        return {"letters": letters, "hidden": np.random.default_rng(0).random(letters.shape) < self.share}


@cache
def load() -> tuple[CausalLM, Hidden]:
    return CausalLM.open("builtin:markov", Options()), Hidden()


def measure(arm: tuple[str, str, int], seed: int) -> Measures:
    """Loss of a model, and the best loss there is on the same data."""
    kind, encoding, steps = arm
    causal, hidden = load()
    if kind == "causal":
        model = fit(causal, encoding, seed, LENGTH, SIZE, Training(steps=steps))
        loss = causal.evaluate(model, LENGTH, CPU).metrics["loss"]
        return {"loss": loss, "best": CHAIN.next_loss(), "unigram": CHAIN.unigram_loss()}
    model = fit(hidden, encoding, seed, LENGTH, SIZE, Training(steps=steps))  # type: ignore[arg-type]
    batch = hidden.held_out(LENGTH)
    with torch.no_grad():
        loss = hidden.loss(model, {name: torch.from_numpy(array) for name, array in batch.items()}).item()
    best = CHAIN.hidden_losses(batch["letters"], batch["hidden"]).mean()
    return {"loss": loss, "best": float(best), "unigram": CHAIN.unigram_loss()}


STUDY = Study(
    "markov",
    "Models of 2 layers, width 64 and 8 heads, 600 steps of 32, on a Markov chain over 16 letters, at length 32: GPT-2 "
    "predicts the next letter, BERT predicts letters of which 15 % are hidden. The best loss is known exactly.",
    {
        "causal none": ("causal", "none", 600),
        **{
            f"masked {name}": ("masked", name, 600)
            for name in ("learned(std=1)", "sinusoidal", "rotary", "none")
        },
        "masked learned(std=1), 1,500 steps": ("masked", "learned(std=1)", 1500),
    },
    measure,
)
