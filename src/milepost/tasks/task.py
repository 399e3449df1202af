"""What every task gives: data in three parts, batches, a loss, and numbers at each length.

A new task is one file with a subclass of ``Task``, and one line in ``milepost.tasks.TASKS``.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from milepost.errors import OptionError
from milepost.tasks.batches import IGNORED

FEW_ITEMS = 100
"""A share over fewer different items than this is flagged: one of them moves it by more than 0.01."""
Batch = dict[str, np.ndarray]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Metric:
    """A number that a task reports.

    Args:
        name: its key in documents: ``loss``, ``macro_f1``.
        title: as sentences name it: ``loss``, ``macro-F1``.
        unit: ``nats per token``; empty for shares.
        higher_is_better: whether more of it is better.
        bounded: whether it lies between 0 and 1, as accuracies do.
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = False
    bounded: bool = False


@dataclass(frozen=True)
class Floor:
    """What the best answer that ignores the input scores.

    Args:
        score: in the unit of the task's first metric.
        error: standard error of such a score over the test examples; 0 where chance has no part in it.
    """

    score: float
    error: float = 0.0

    @classmethod
    def of_share(cls, share: float, examples: int) -> Self:
        """A floor that is a share of examples.

        >>> Floor.of_share(0.5, 100)
        Floor(score=0.5, error=0.05)
        """
        return cls(share, math.sqrt(share * (1 - share) / examples))


@dataclass(frozen=True)
class Head:
    """What a model must have at its two ends for a task.

    Args:
        kind: ``causal-lm``, ``masked-lm``, ``classify``, ``tag``, ``images`` or ``forecast``.
        vocabulary_size: token ids of the input; 0 where it is no text.
        labels: classes of the output.
        pad: token id of padding, where batches hold any.
        channels: of images or series.
        patch: side of an image's patch in pixels, or steps of a series in one position.
        horizon: steps of a series that are forecast.
    """

    kind: str
    vocabulary_size: int = 0
    labels: int = 0
    pad: int | None = None
    channels: int = 1
    patch: int = 1
    horizon: int = 0


@dataclass(frozen=True)
class Measured:
    """What a model did on one part of the data at one length.

    Args:
        metrics: value by name of each of the task's metrics.
        curve: a value for each place along the task's ``axis``; empty where a task has no such axis.
        breakdown: further tables, by title, of values by label: ``{"accuracy by length": {"0–127": 0.8}}``.
    """

    metrics: dict[str, float]
    curve: list[float] = field(default_factory=list)
    breakdown: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """What the user says of the data; each task reads those it knows and refuses others that are set.

    Args:
        tokenizer: ``char``, ``byte``, a ``tokenizer.json``, a model folder, a SentencePiece model, or
            ``train:bpe:8000``.
        validation: data that learning rates are chosen on; cut from the data by default.
        test: data that is measured on; cut from the data by default.
        text_column: name or index of the column of texts, tokens or values.
        label_column: name or index of the column of labels.
        header: whether the first row of a table of text names its columns.
        encoding: of text files, as Python names it: ``utf-8``, ``cp1252``, ``utf-16``, ``gb18030``, ...
        evaluate: ``blocks`` or ``sliding``.
        patch: pixels of a patch's side, or steps of a series in one position; 0 is the task's own choice.
        horizon: steps to forecast; 0 is the task's own choice.
        layout: of a table of series: ``columns``, ``rows``, one series in each, or ``auto``.
        fill: what a step of a series without a value gets: ``previous``, ``linear``; ``none`` refuses it.
    """

    tokenizer: str = "char"
    validation: str | None = None
    test: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    evaluate: str = "blocks"
    patch: int = 0
    horizon: int = 0
    layout: str = "auto"
    fill: str = "none"

    def refuse(self, task: str, *unknown: str) -> None:
        """Refuse options that a task has no use for.

        Raises:
            OptionError: MP105, when one of ``unknown`` is not at its default.
        """
        for name in unknown:
            if getattr(self, name) != getattr(type(self), name):
                raise OptionError(
                    f"the task {task} has no use for this option",
                    got=f"{name}={getattr(self, name)!r}",
                    fix=f"leave --{name.replace('_', '-')} out",
                )


class Task(abc.ABC):
    """Data of one task, and how batches, losses and metrics come from it.

    Everything drawn at random is a function of the arguments alone: every encoding sees the same batches,
    and a run that is resumed needs no state of a sampler.

    Attributes:
        name: as the user writes it.
        metrics: the first one decides unless the user names another.
        axis: what ``Measured.curve`` runs along: ``position``, ``horizon``; empty for none.
        unit: what lengths count: ``tokens``, ``pixels``.
        head: what models need.
        sha256: of all documents and their parts; the identity of the data.
        source: data by default.
        train_length: of a training input by default.
        lengths: measured by default.
        reads_text: whether the data is text that a tokenizer cuts.
        item: what a share is counted over: ``prompts``, ``documents``, ``images``; empty where no metric is one.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    axis: ClassVar[str] = "position"
    unit: ClassVar[str] = "tokens"
    source: ClassVar[str] = "builtin:python-docs"
    train_length: ClassVar[int] = 32
    lengths: ClassVar[tuple[int, ...]] = (16, 32, 48, 64, 128)
    reads_text: ClassVar[bool] = False
    item: ClassVar[str] = ""
    head: Head
    sha256: str

    @classmethod
    @abc.abstractmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read, tokenize and split the data.

        Raises:
            DataError: MP110. UnknownName: MP104. OptionError: MP105.
        """

    @abc.abstractmethod
    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data."""

    @abc.abstractmethod
    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths for which there is too little data, or that make no sense.

        Raises:
            DataError: MP110. OptionError: MP105.
        """

    def count_items(self, length: int) -> int | None:
        """Different items that the test part has at this length; ``None`` where no metric is a share of items."""
        return None

    def notes(self, train_length: int, lengths: tuple[int, ...]) -> list[str]:
        """What a reader must know of the data to read the numbers right, a sentence each."""
        counts = {length: self.count_items(length) for length in lengths}
        few = [
            f"{count} at length {length}"
            for length, count in counts.items()
            if (count or FEW_ITEMS) < FEW_ITEMS
        ]
        if not few:
            return []
        return [
            f"The {self.metrics[0].title} rests on few different {self.item}: {', '.join(few)}. "
            f"One of them moves it by more than {1 / FEW_ITEMS:g}, and the intervals, which are over seeds, "
            "do not include that."
        ]

    def positions(self, length: int) -> int:
        """Positions that an input of this length takes in the model; rows that a learned table needs."""
        return length

    @abc.abstractmethod
    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """One training batch: named arrays, the first axis is the batch."""

    def weight(self, batch: Batch) -> int:
        """How many terms the mean has that the loss of a batch is: labels that count, else examples."""
        if "labels" in batch:
            return int((batch["labels"] != IGNORED).sum())
        return len(next(iter(batch.values())))

    @abc.abstractmethod
    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Training loss of a batch, differentiable."""

    @abc.abstractmethod
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Measure a model on ``part``, ``validation`` or ``test``; deterministic, without gradients."""

    @abc.abstractmethod
    def floor(self) -> float:
        """Training loss of a model that ignores its input; one that learnt anything is below it."""

    @abc.abstractmethod
    def floor_score(self, length: int) -> Floor:
        """What the best answer that ignores the input scores on the test part, by the first metric."""


def to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """The tensors of a batch, on a device."""
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in batch.items()}
