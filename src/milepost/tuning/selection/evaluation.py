"""What a model makes of whole documents: losses by position, or which documents their own passages find."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from milepost.tuning.subject import Subject, choose_masks

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64
    from transformers import PreTrainedModel

PASSAGES: Final = 4  # of a document's first part, and as many of what lies past it
_LONGEST_PASSAGE: Final = 64
_SHORTEST_PASSAGE: Final = 4


@dataclass(frozen=True)
class ReadingMetric:
    """One number a document, and which way is better."""

    name: str
    title: str
    higher_is_better: bool


@dataclass(frozen=True, eq=False)
class Text:
    """A document: its place in the data, its tokens up to the new length, and how many it has in all."""

    index: int
    tokens: Int64[np.ndarray, " seq"]
    total_tokens: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one way to read the documents gave.

    Attributes:
        values: by the metric's name, one number a document.
        positions: where in its document each scored token, or passage, begins.
        scores: what each of them scored.
    """

    values: Mapping[str, Float[np.ndarray, " documents"]]
    positions: Int64[np.ndarray, " scored"]
    scores: Float[np.ndarray, " scored"]


def passage_tokens(length: int) -> int:
    """Tokens of a passage for a model of ``length`` positions.

    >>> passage_tokens(512), passage_tokens(16)
    (64, 4)
    """
    return max(_SHORTEST_PASSAGE, min(_LONGEST_PASSAGE, length // 4))


class Reading(abc.ABC):
    """The documents, and the questions that every model is asked about them.

    Args:
        subject: the model as it is today.
        texts: documents longer than it can read.
        seed: of what is drawn: masks, or places of passages. Every model gets the same.
        tick: called for each document that was read to its end, also by the model as it is.
    """

    metrics: tuple[ReadingMetric, ...]
    deciding: str
    scored_by: ReadingMetric
    baseline_name: str

    def __init__(
        self, subject: Subject, texts: Sequence[Text], *, seed: int, tick: Callable[[], None] = lambda: None
    ) -> None:
        self.subject = subject
        self.texts = texts
        self.seed = seed
        self.tick = tick
        self.boundary = subject.room()  # tokens of text that the model can read today

    @abc.abstractmethod
    def passes(self) -> list[tuple[int, int]]:
        """What the model as it is, or the reference, costs: passes over each document, and tokens read in them.

        An extended model reads each document in one pass.
        """

    @abc.abstractmethod
    def baseline(self) -> Outcome:
        """What the model gives as it is."""

    @abc.abstractmethod
    def measure(self, model: PreTrainedModel) -> Outcome:
        """What a model that can read the documents whole gives."""

    def references(self) -> dict[str, Outcome]:
        """What else can be done without an extension."""
        return {}

    def _read_short(
        self, model: PreTrainedModel | None, known: Sequence[Float[np.ndarray, " numbers"]]
    ) -> list[Float[np.ndarray, " numbers"]]:
        """The beginnings alone; where the first is bit for bit what is ``known``, so are all: every row took part in it."""
        found = []
        for index, text in enumerate(self.texts):
            found.append(self._short(index, text, model))
            if index == 0 and known and np.array_equal(found[0], known[0], equal_nan=True):
                return list(known)
        return found

    @abc.abstractmethod
    def _short(
        self, index: int, text: Text, model: PreTrainedModel | None
    ) -> Float[np.ndarray, " numbers"]: ...


class LossReading(Reading):
    """Masked or causal loss of every token.

    As it is, the model reads a document in overlapping windows of its own length, and each token is scored in the window that
    gives it most context: at least half a window for a causal model, a quarter on both sides for a masked one. Blocks side by
    side would make it look worse than it is.
    """

    deciding = "end"
    baseline_name = "windows"
    scored_by = ReadingMetric("loss", "loss", False)

    def __init__(
        self, subject: Subject, texts: Sequence[Text], *, seed: int, tick: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(subject, texts, seed=seed, tick=tick)
        self._causal = subject.kind == "causal-lm"
        self.metrics = (
            ReadingMetric("end", "loss past the old length", False),
            *(
                ()
                if self._causal
                else (ReadingMetric("start", "loss within it, document read whole", False),)
            ),
            ReadingMetric("short", "loss of inputs within it", False),
        )
        self._before: list[Float[np.ndarray, " seq"]] = []

    def passes(self) -> list[tuple[int, int]]:
        """One pass a window; windows overlap, so most tokens are read twice."""
        found = []
        for text in self.texts:
            spans = [one[:2] for one in windows(len(text.tokens), self.boundary, causal=self._causal)]
            found.append((len(spans), sum(end - begin for begin, end in spans)))
        return found

    def baseline(self) -> Outcome:
        """Overlapping windows for what lies past the length, one pass for what lies within."""
        self._before = self._read_short(None, ())
        whole = []
        for index, text in enumerate(self.texts):
            losses = np.full(len(text.tokens), np.nan)
            for begin, end, first, last in windows(len(text.tokens), self.boundary, causal=self._causal):
                seen = self._losses(text.tokens[begin:end], self._masked(index, text, begin, end), None)
                losses[first:last] = seen[first - begin : last - begin]
            losses[: self.boundary] = self._before[index]
            whole.append(losses)
            self.tick()
        return self._outcome(whole, self._before)

    def measure(self, model: PreTrainedModel) -> Outcome:
        """One pass over each document."""
        short = self._read_short(model, self._before)
        whole = []
        for index, text in enumerate(self.texts):
            whole.append(self._losses(text.tokens, self._masked(index, text, 0, len(text.tokens)), model))
            self.tick()
        return self._outcome(whole, short)

    def _short(self, index: int, text: Text, model: PreTrainedModel | None) -> Float[np.ndarray, " seq"]:
        tokens = text.tokens[: self.boundary]
        return self._losses(tokens, self._masked(index, text, 0, self.boundary), model)

    def _losses(
        self,
        tokens: Int64[np.ndarray, " seq"],
        masked: Bool[np.ndarray, " seq"] | None,
        model: PreTrainedModel | None,
    ) -> Float[np.ndarray, " seq"]:
        return self.subject.losses(tokens, masked=masked, model=model)

    def _masked(self, index: int, text: Text, begin: int, end: int) -> Bool[np.ndarray, " seq"] | None:
        if self._causal:
            return None
        parts = [(0, self.boundary), (self.boundary, len(text.tokens))]
        return choose_masks(len(text.tokens), parts, [self.seed, text.index])[begin:end]

    def _outcome(self, whole: list[np.ndarray], short: list[np.ndarray]) -> Outcome:
        values = {"end": [np.nanmean(one[self.boundary :]) for one in whole]}
        if not self._causal:
            values["start"] = [np.nanmean(one[: self.boundary]) for one in whole]
        values["short"] = [np.nanmean(one) for one in short]
        scored = [np.flatnonzero(np.isfinite(one)) for one in whole]
        scores = [one[at] for one, at in zip(whole, scored, strict=True)]
        return Outcome(
            {name: np.array(found) for name, found in values.items()},
            np.concatenate(scored),
            np.concatenate(scores),
        )


def windows(length: int, size: int, *, causal: bool) -> Iterator[tuple[int, int, int, int]]:
    """Windows of ``size`` tokens over a text, each half a window further: begin, end, and the tokens that it scores.

    Every token is scored once.

    >>> list(windows(10, 4, causal=True))
    [(0, 4, 0, 4), (2, 6, 4, 6), (4, 8, 6, 8), (6, 10, 8, 10)]
    >>> list(windows(9, 4, causal=False))
    [(0, 4, 0, 3), (2, 6, 3, 5), (4, 8, 5, 7), (5, 9, 7, 9)]
    """
    stride = max(1, size // 2)
    margin = 0 if causal else (size - stride) // 2
    begin, scored = 0, 0
    while scored < length:
        end = begin + size
        last = length if end >= length else end - margin
        yield begin, min(end, length), scored, last
        scored = last
        begin = min(begin + stride, length - size)


class PassageReading(Reading):
    """Embeddings: how well a passage finds its document among all.

    Passages are drawn from the part of a document that the model can read today and from what lies past it, as many from each, and
    embedded by the model as it is. Weighted by the lengths of both parts they stand for a passage from anywhere. As it is, the model embeds the beginning of a document.
    """

    deciding = "passages"
    baseline_name = "truncate"
    scored_by = ReadingMetric("reciprocal_rank", "reciprocal rank", True)
    metrics = (
        ReadingMetric("passages", "reciprocal rank of passages from anywhere", True),
        ReadingMetric("end", "reciprocal rank of passages past the old length", True),
        ReadingMetric("start", "reciprocal rank of passages within it", True),
        ReadingMetric("end_first", "passages past it that find their document first", True),
        ReadingMetric("agreement", "cosine with the mean of the document's parts", True),
        ReadingMetric("short", "reciprocal rank, documents cut at the old length", True),
    )

    def __init__(
        self, subject: Subject, texts: Sequence[Text], *, seed: int, tick: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(subject, texts, seed=seed, tick=tick)
        size = passage_tokens(subject.length)
        self._places = np.stack([self._draw(text, size) for text in texts])  # documents, 2 * PASSAGES
        self._queries = np.stack([
            subject.embed(text.tokens[begin : begin + size])
            for text, places in zip(texts, self._places, strict=True) for begin in places
        ])  # fmt: skip
        self._parts = np.stack([self._mean_of_parts(text) for text in texts])
        self._before: list[Float[np.ndarray, " dim"]] = []

    def _draw(self, text: Text, size: int) -> Int64[np.ndarray, " places"]:
        random = np.random.default_rng([self.seed, text.index])
        start = random.integers(0, self.boundary - size + 1, PASSAGES)
        end = random.integers(self.boundary, len(text.tokens) - size + 1, PASSAGES)
        return np.concatenate([start, end])

    def _mean_of_parts(self, text: Text) -> Float[np.ndarray, " dim"]:
        """Parts as equal as they can be, none longer than the model can read."""
        parts = np.array_split(text.tokens, -(-len(text.tokens) // self.boundary))
        mean = np.mean([self.subject.embed(part) for part in parts], axis=0)
        self.tick()
        return mean / np.linalg.norm(mean)

    def passes(self) -> list[tuple[int, int]]:
        """One pass a part, for the mean of parts; each token is read once."""
        return [(-(-len(text.tokens) // self.boundary), len(text.tokens)) for text in self.texts]

    def baseline(self) -> Outcome:
        """Documents cut at the model's length."""
        self._before = self._read_short(None, ())
        return self._outcome(np.stack(self._before), self._before)

    def measure(self, model: PreTrainedModel) -> Outcome:
        """Documents embedded whole."""
        short = self._read_short(model, self._before)
        whole = []
        for text in self.texts:
            whole.append(self.subject.embed(text.tokens, model=model))
            self.tick()
        return self._outcome(np.stack(whole), short)

    def references(self) -> dict[str, Outcome]:
        """The mean of the embeddings of a document's parts."""
        return {"parts": self._outcome(self._parts, self._before)}

    def _short(self, index: int, text: Text, model: PreTrainedModel | None) -> Float[np.ndarray, " dim"]:
        return self.subject.embed(text.tokens[: self.boundary], model=model)

    def _outcome(self, corpus: np.ndarray, short: list[np.ndarray]) -> Outcome:
        found = 1 / self._ranks(corpus)
        start, end = found[:, :PASSAGES], found[:, PASSAGES:]
        within = self.boundary / np.array([len(text.tokens) for text in self.texts])
        values = {
            "passages": within * start.mean(1) + (1 - within) * end.mean(1),
            "end": end.mean(1),
            "start": start.mean(1),
            "end_first": (end == 1).mean(1),
            "agreement": (corpus * self._parts).sum(1),
            "short": (1 / self._ranks(np.stack(short)))[:, :PASSAGES].mean(1),
        }
        return Outcome(values, self._places.ravel(), found.ravel())

    def _ranks(self, corpus: Float[np.ndarray, "documents dim"]) -> Float[np.ndarray, "documents passages"]:
        """The rank of each passage's own document; one that others equal shares the mean of their ranks."""
        alike = (self._queries @ corpus.T).reshape(*self._places.shape, len(corpus))
        own = np.take_along_axis(alike, np.arange(len(corpus))[:, None, None], 2)
        return 1 + (alike > own).sum(2) + ((alike == own).sum(2) - 1) / 2
