"""Tagging: a label for each word of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.corpus.tokenizers import Tokenizer, build_tokenizer
from milepost.errors import DataError
from milepost.tasks.batches import IGNORED, TOKENS_A_BATCH, gather
from milepost.tasks.conll import Sentence, TaggedSource, read_tagged
from milepost.tasks.parts import hash_data, hash_text, make_parts, refuse_few
from milepost.tasks.scores import f1, find_entities, read_marks
from milepost.tasks.task import PARTS, Batch, Floor, Head, Measured, Metric, Options, Task, to_device
from milepost.tasks.words import Words, encode_words

_QUARTERS = ("first", "second", "third", "last")

Document = tuple[Sentence, ...]


@dataclass(frozen=True)
class Tag(Task):
    """Label each word of sentences that are joined, within their document, up to the length.

    F1 of entities decides, as ``conlleval`` counts them: right are those whose first word, last word and type
    all are. Where tags mark no entities, each word is one, and F1 is accuracy.

    Args:
        parts: words of the three parts.
        labels: names of the tags.
        tokenizer: with an id for ``pad``.
        known: what a result says of the data.
        sha256: identity of words, tags, parts and tokenizer.
    """

    parts: Mapping[str, Words]
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    known: Mapping[str, str | int | float]
    sha256: str

    name: ClassVar[str] = "tag"
    reads_text = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("f1", "F1", higher_is_better=True, bounded=True),
        Metric("accuracy", "accuracy", higher_is_better=True, bounded=True),
        Metric("loss", "loss", "nats per word"),
    )
    source: ClassVar[str] = "builtin:python-tokens"
    train_length: ClassVar[int] = 64
    lengths: ClassVar[tuple[int, ...]] = (32, 64, 96, 128)

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read tagged words, split and tokenize them.

        Where nothing marks documents, sentences are split; short ones come up again and again, so those of
        the data that are in a part of the user's own are left out of the data.

        Raises:
            DataError: MP110. UnknownName: MP104, no such tokenizer or built-in. OptionError: MP105.

        >>> task = Tag.open("builtin:python-tokens", Options())
        >>> task.labels[:3]
        ('attribute', 'call', 'class')
        """
        options.refuse(cls.name, "header", "evaluate", "patch", "horizon", "layout", "fill")
        main, given = _read(source, options), {}
        for part in ("validation", "test"):
            if (path := getattr(options, part)) is not None:
                given[part] = _read(path, options)
        documents, held, left_out = _leave_out(main, given)
        split = make_parts(documents, held, _identify, lambda one: sum(map(len, one)), few=refuse_few)
        everything = [one for part in (documents, *held.values()) for one in part]
        labels = tuple(sorted({tag for one in everything for sentence in one for _, tag in sentence}))
        tokenizer = build_tokenizer(
            options.tokenizer,
            (f"{_words(one)} " for one in everything),
            [_words(one) for one in split.train],
        ).with_specials("pad")
        parts = {part: encode_words(getattr(split, part), labels, tokenizer, main.marked) for part in PARTS}
        hashes = {part: one.sha256 for part, one in given.items()}
        known: dict[str, str | int | float] = {
            "source": main.name,
            "sha256": hash_data(main.sha256, hashes),
            "repeated_documents": split.repeated,
            "left_out_sentences": left_out,
        }
        return cls(parts, labels, tokenizer, known, hash_data(main.sha256, hashes, tokenizer.sha256))

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a tag."""
        return Head(
            "tag",
            vocabulary_size=self.tokenizer.vocabulary_size,
            labels=len(self.labels),
            pad=self.tokenizer.specials["pad"],
        )

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data; ``majority_accuracy`` is that of always naming the commonest tag."""
        firsts = {part: self.parts[part].labels[self.parts[part].firsts] for part in PARTS}
        largest = int(np.bincount(firsts["train"], minlength=len(self.labels)).argmax())
        return {
            **self.known,
            "tags": ", ".join(self.labels)[:200],
            "tokenizer": self.tokenizer.name,
            "vocabulary": self.tokenizer.vocabulary_size,
            **{f"{part}_words": len(firsts[part]) for part in PARTS},
            **{f"{part}_tokens": len(self.parts[part].ids) for part in PARTS},
            "majority_accuracy": float((firsts["test"] == largest).mean()),
            "tag_entropy": self.floor(),
        }

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths that no document fills.

        Raises:
            DataError: MP110.
        """
        for part, wanted in (("train", train_length), ("validation", train_length), ("test", max(lengths))):
            longest = int(np.diff(self.parts[part].documents).max(initial=0))
            if longest < wanted:
                raise DataError(
                    f"the data is too short: no document of its {part} part fills one window",
                    got=f"{longest} {self.tokenizer.name} tokens in the longest, {wanted} wanted",
                    fix="give more data, or shorter lengths",
                )

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """Windows that begin at random words: ``input_ids``, ``attention_mask``, ``labels``, ``(size, length)``."""
        firsts = self.parts["train"].firsts
        chosen = np.random.default_rng([seed, step]).integers(0, len(firsts), size=size)
        return self._rows("train", firsts[chosen], length)

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean negative log likelihood in nats a word; ``model`` is a transformers token classifier."""
        logits = _logits(model, batch)
        return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """F1, accuracy and loss over a part, its documents cut into windows of ``length`` without overlap.

        Entities are put together again over the cuts, and end with their sentence.

        Returns:
            The curve has ``length`` floats, the loss in nats of words that begin at each position; it is
            empty where some position has none. The breakdown has F1 and number of entities by the quarter
            of the window in which they begin.
        """
        words, size = self.parts[part], max(1, TOKENS_A_BATCH // length)
        firsts = words.firsts
        predicted, losses = np.empty(len(firsts), np.int64), np.empty(len(firsts))
        starts = np.concatenate(
            [np.arange(*span, length) for span in zip(words.documents, words.documents[1:], strict=False)]
        )
        for first in range(0, len(starts), size):
            begin = starts[first : first + size]
            batch = to_device(self._rows(part, begin, length), device)
            logits = _logits(model, batch).float()
            each = functional.cross_entropy(
                logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED, reduction="none"
            )
            scored = (batch["labels"] != IGNORED).cpu()
            row, place = (one.numpy() for one in torch.nonzero(scored, as_tuple=True))
            which = np.searchsorted(firsts, begin[row] + place)
            predicted[which] = logits.argmax(-1).cpu()[scored].numpy()
            losses[which] = each.view_as(batch["labels"]).cpu()[scored].double().numpy()
        begun = starts[np.searchsorted(starts, firsts, side="right") - 1]
        return self._measure(words, predicted, losses, firsts - begun, length)

    def floor(self) -> float:
        """Entropy of the tags of the training part, in nats: the loss of naming their shares."""
        words = self.parts["train"]
        counts = np.bincount(words.labels[words.firsts])
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log(shares)).sum())

    def floor_score(self, length: int) -> Floor:
        """F1 of giving every word the most frequent tag of the training part: 0 where that marks no entity."""
        train, test = self.parts["train"], self.parts["test"]
        largest = np.bincount(train.labels[train.firsts]).argmax()
        zeros = np.zeros(len(test.firsts), np.int64)
        measured = self._measure(test, zeros + largest, zeros.astype(float), zeros, length)
        return Floor.of_share(measured.metrics["f1"], len(test.firsts))

    def _rows(self, part: str, starts: Int[np.ndarray, " rows"], length: int) -> Batch:
        words = self.parts[part]
        ends = words.end_of(starts)
        return {
            "input_ids": gather(words.ids, starts, ends, length, self.tokenizer.specials["pad"]),
            "attention_mask": (np.arange(length) < (ends - starts)[:, None]).astype(np.int64),
            "labels": gather(words.labels, starts, ends, length, IGNORED),
        }

    def _measure(
        self,
        words: Words,
        predicted: Int64[np.ndarray, " words"],
        losses: Float64[np.ndarray, " words"],
        places: Int64[np.ndarray, " words"],
        length: int,
    ) -> Measured:
        truth = words.labels[words.firsts]
        quarters = places * 4 // length
        counts = np.zeros((3, 4), np.int64)  # right, wanted and found, by quarter
        marks = read_marks(self.labels)
        for begin, end in zip(words.sentences, words.sentences[1:], strict=False):
            wanted, found = (
                set(find_entities((self.labels[tag] for tag in tags[begin:end]), marks))
                for tags in (truth, predicted)
            )
            for row, entities in enumerate((wanted & found, wanted, found)):
                for entity in entities:
                    counts[row, quarters[begin + entity[0]]] += 1
        met = np.bincount(places, minlength=length)
        curve = np.bincount(places, losses, length) / met if met.all() else np.empty(0)
        by_quarter = {name: f1(*map(int, column)) for name, column in zip(_QUARTERS, counts.T, strict=True)}
        number = {name: float(count) for name, count in zip(_QUARTERS, counts[1], strict=True)}
        metrics = {
            "f1": f1(*map(int, counts.sum(1))),
            "accuracy": float((truth == predicted).mean()),
            "loss": float(losses.mean()),
        }
        breakdown = {"F1 by quarter of the window": by_quarter, "entities by quarter of the window": number}
        return Measured(metrics, curve.tolist(), breakdown)


def _logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch seq labels"]:
    logits: Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits


def _read(source: str, options: Options) -> TaggedSource:
    return read_tagged(source, options.text_column, options.label_column, encoding=options.encoding)


def _leave_out(
    main: TaggedSource, given: Mapping[str, TaggedSource]
) -> tuple[list[Document], dict[str, list[Document]], int]:
    """The data and the given parts, less unmarked sentences that a later part has too."""
    kept: dict[str, list[Document]] = {}
    seen: set[bytes] = set()
    for part, one in [("test", given.get("test")), ("validation", given.get("validation")), ("train", main)]:
        if one is not None:
            unmarked = not one.marked
            kept[part] = [d for d in one.documents if not (unmarked and _identify(d) in seen)]
            seen |= {_identify(document) for document in kept[part]}
    whole = sum(len(one.documents) for one in (main, *given.values()))
    left_out = whole - sum(map(len, kept.values()))
    return kept.pop("train"), kept, left_out


def _words(document: Document) -> str:
    return "\n".join(" ".join(word for word, _ in sentence) for sentence in document)


def _identify(document: Document) -> bytes:
    return hash_text(_words(document))
