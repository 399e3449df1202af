"""Classification of documents."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.corpus.text import LabelledSource, read_labelled
from milepost.corpus.tokenizers import Tokenizer, build_tokenizer
from milepost.errors import OptionError
from milepost.tables import PREFIX, family_of
from milepost.tasks.batches import TOKENS_A_BATCH, gather
from milepost.tasks.parts import hash_data, hash_text, make_parts, refuse_few
from milepost.tasks.scores import count_confusions, macro_f1, name_confusions
from milepost.tasks.task import PARTS, Batch, Floor, Head, Measured, Metric, Options, Task, to_device

_MOST_CONFUSIONS = 12  # classes; a larger matrix is no longer read
_THIRDS = ("first", "middle", "last")

Document = tuple[str, str]


@dataclass(frozen=True)
class Examples:
    """Documents of one part, each begun by the token that stands for it.

    Args:
        ids: of all documents, one after the other, shape ``(tokens,)``.
        starts: where each begins, and the end of the last, shape ``(documents + 1,)``.
        labels: class of each, shape ``(documents,)``.
    """

    ids: Int32[np.ndarray, " tokens"]
    starts: Int64[np.ndarray, " documents+1"]
    labels: Int64[np.ndarray, " documents"]

    @property
    def sizes(self) -> Int64[np.ndarray, " documents"]:
        """Tokens of each document."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Classify(Task):
    """Say which class a document is of; what does not fit into the length is cut off at its end.

    Macro-F1 decides: each class counts alike. Where classes are even it says what accuracy says; where one
    is rare, accuracy hardly falls when that class is never found.

    Args:
        parts: documents of the three parts.
        labels: names of the classes.
        tokenizer: with ids for ``cls`` and ``pad``.
        known: what a result says of the data.
        sha256: identity of documents, parts and tokenizer.
    """

    parts: Mapping[str, Examples]
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    known: Mapping[str, str | int | float]
    sha256: str

    name: ClassVar[str] = "classify"
    reads_text = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("macro_f1", "macro-F1", higher_is_better=True, bounded=True),
        Metric("accuracy", "accuracy", higher_is_better=True, bounded=True),
        Metric("loss", "loss", "nats per document"),
    )
    axis: ClassVar[str] = ""
    item: ClassVar[str] = "documents"
    source: ClassVar[str] = "builtin:python-docstrings"
    train_length: ClassVar[int] = 128
    lengths: ClassVar[tuple[int, ...]] = (32, 64, 128, 256)

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read labelled documents, split and tokenize them.

        Raises:
            DataError: MP110. UnknownName: MP104, no such tokenizer or built-in. OptionError: MP105.

        >>> task = Classify.open("builtin:python-docstrings", Options())
        >>> task.head.labels, task.labels[:2]
        (8, ('asyncio', 'decimal'))
        """
        options.refuse(cls.name, "evaluate", "patch", "horizon", "layout", "fill")
        main, given = _read(source, options), {}
        for part in ("validation", "test"):
            if (path := getattr(options, part)) is not None:
                given[part] = _read(path, options)
        held = {part: one.documents for part, one in given.items()}
        split = make_parts(main.documents, held, _identify, lambda _: 1, few=refuse_few)
        everything = [pair for one in (main, *given.values()) for pair in one.documents]
        labels = tuple(sorted({label for _, label in everything}))
        tokenizer = build_tokenizer(
            options.tokenizer, (text for text, _ in everything), [text for text, _ in split.train]
        ).with_specials("cls", "pad")
        parts = {part: _encode(getattr(split, part), labels, tokenizer) for part in PARTS}
        hashes = {part: one.sha256 for part, one in given.items()}
        known: dict[str, str | int | float] = {
            "source": main.name,
            "sha256": hash_data(main.sha256, hashes),
            "repeated_documents": split.repeated,
        }
        return cls(parts, labels, tokenizer, known, hash_data(main.sha256, hashes, tokenizer.sha256))

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a class."""
        return Head(
            "classify",
            vocabulary_size=self.tokenizer.vocabulary_size,
            labels=len(self.labels),
            pad=self.tokenizer.specials["pad"],
        )

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data; ``majority_accuracy`` is that of always naming the largest class."""
        test, train = self.parts["test"], self.parts["train"]
        largest = int(np.bincount(train.labels, minlength=len(self.labels)).argmax())
        return {
            **self.known,
            "classes": ", ".join(self.labels)[:200],
            "tokenizer": self.tokenizer.name,
            "vocabulary": self.tokenizer.vocabulary_size,
            **{f"{part}_documents": len(self.parts[part].labels) for part in PARTS},
            "median_tokens": float(np.median(train.sizes)),
            "longest_tokens": int(train.sizes.max()),
            "majority_accuracy": float((test.labels == largest).mean()),
            "class_entropy": self.floor(),
        }

    def count_items(self, length: int) -> int:
        """Different documents of the test part."""
        test = self.parts["test"]
        return len({row.tobytes() for row in np.split(test.ids, test.starts[1:-1])})

    def notes(self, train_length: int, lengths: tuple[int, ...]) -> list[str]:
        """Few documents, and how many are longer than what the model reads."""
        return [*self._notes_on_cuts(train_length), *super().notes(train_length, lengths)]

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths that hold no token beside the one that stands for the document.

        Raises:
            OptionError: MP105.
        """
        shortest = min(train_length, *lengths)
        if shortest < 2:
            raise OptionError(
                "a document takes two tokens at least, one of them its own",
                got=str(shortest),
                fix="2 or more",
            )

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """Random documents: ``input_ids`` and ``attention_mask`` of shape ``(size, length)``, ``labels``."""
        chosen = np.random.default_rng([seed, step]).integers(0, len(self.parts["train"].labels), size=size)
        return self._rows("train", chosen, length)

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean negative log likelihood in nats a document; ``model`` is a transformers classifier."""
        return functional.cross_entropy(_logits(model, batch), batch["labels"])

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Macro-F1, accuracy and loss over a part, cut to ``length``.

        Returns:
            Without a curve. The breakdown has accuracy and number of documents by their length in tokens; accuracy when
            of each document that fills the window only a third is shown, at the positions where it stands;
            and, for up to twelve classes, counts of the confusion matrix.
        """
        examples = self.parts[part]
        logits = np.empty((len(examples.labels), len(self.labels)))
        for chosen in self._by_size(part, length):
            width = int(min(length, examples.sizes[chosen].max()))
            batch = to_device(self._rows(part, chosen, width), device)
            logits[chosen] = _logits(model, batch).double().cpu().numpy()
        predicted = logits.argmax(1)
        right = predicted == examples.labels
        highest = logits.max(1)
        true = logits[np.arange(len(logits)), examples.labels]
        losses = np.log(np.exp(logits - highest[:, None]).sum(1)) + highest - true
        confusions = count_confusions(examples.labels, predicted, len(self.labels))
        metrics = {
            "macro_f1": macro_f1(confusions),
            "accuracy": float(right.mean()),
            "loss": float(losses.mean()),
        }
        breakdown = _by_length(right, examples.sizes, length) | self._by_third(
            model, right, length, device, part
        )
        if len(self.labels) <= _MOST_CONFUSIONS:
            breakdown["confusion matrix, documents"] = name_confusions(confusions, self.labels)
        return Measured(metrics, breakdown=breakdown)

    def floor(self) -> float:
        """Entropy of the classes of the training part, in nats: the loss of naming their shares."""
        shares = np.bincount(self.parts["train"].labels) / len(self.parts["train"].labels)
        return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())

    def floor_score(self, length: int) -> Floor:
        """Macro-F1 of naming classes at random, as often as each occurs: one over their number.

        Always naming the largest class scores less.
        """
        return Floor.of_share(1 / len(self.labels), len(self.parts["test"].labels))

    def _rows(self, part: str, chosen: Int[np.ndarray, " rows"], length: int) -> Batch:
        examples = self.parts[part]
        starts, ends = examples.starts[chosen], examples.starts[chosen + 1]
        real = np.arange(length) < (ends - starts)[:, None]
        return {
            "input_ids": gather(examples.ids, starts, ends, length, self.tokenizer.specials["pad"]),
            "attention_mask": real.astype(np.int64),
            "labels": examples.labels[chosen],
        }

    def _notes_on_cuts(self, length: int) -> list[str]:
        """Say how many documents are cut at the length of training."""
        sizes = np.concatenate([one.sizes for one in self.parts.values()])
        cut = int((sizes > length).sum())
        if not cut:
            return []
        return [
            f"{cut:,} of {len(sizes):,} documents are longer than the training length of {length} "
            f"{self.tokenizer.name} tokens and lose their end (median {np.median(sizes):,.0f} tokens, longest "
            f"{sizes.max():,}). To keep more of them, raise --train-length or choose a tokenizer with longer "
            "tokens, such as --tokenizer train:bpe:8000."
        ]

    def _by_size(self, part: str, length: int) -> Iterator[Int64[np.ndarray, " rows"]]:
        """Documents of a part in batches of about as many tokens, short ones together."""
        order = self.parts[part].sizes.argsort(kind="stable")
        size = max(1, TOKENS_A_BATCH // length)
        for first in range(0, len(order), size):
            yield order[first : first + size]

    def _by_third(
        self,
        model: nn.Module,
        right: Bool[np.ndarray, " documents"],
        length: int,
        device: torch.device,
        part: str,
    ) -> dict[str, dict[str, float]]:
        """Accuracy on documents that fill the window, when a third of it is shown where it stands."""
        examples = self.parts[part]
        full = np.flatnonzero(examples.sizes >= length)
        if not len(full) or length < 4 or "position_ids" not in inspect.signature(model.forward).parameters:
            return {}
        first_id = find_first_position_id(model)
        shown = {"whole": float(right[full].mean())}
        for name, third in zip(_THIRDS, np.array_split(np.arange(1, length), 3), strict=True):
            places, hits = torch.from_numpy(np.append(0, third)), 0
            for first in range(0, len(full), max(1, TOKENS_A_BATCH // length)):
                chosen = full[first : first + max(1, TOKENS_A_BATCH // length)]
                ids = torch.from_numpy(self._rows(part, chosen, length)["input_ids"])[:, places]
                # what attention is not to see need not be there, as long as positions say where the rest stands
                where = (places + first_id).expand_as(ids).to(device)
                logits = model(input_ids=ids.to(device), position_ids=where).logits
                hits += int((logits.argmax(-1).cpu().numpy() == examples.labels[chosen]).sum())
            shown[name] = hits / len(full)
        return {f"accuracy by the third that is shown, {len(full)} documents": shown}


def find_first_position_id(model: nn.Module) -> int:
    """The ``position_ids`` of position 0: RoBERTa and its like take rows of the table, which begin after the pad's.

    A swapped model takes the same ids as its family.
    """
    config = getattr(model, "config", None)
    family = family_of(str(getattr(config, "model_type", "")).removeprefix(PREFIX))
    form = next((form for form in family.tables if form.role == "text"), None) if family else None
    # OPT and BART have unread rows too, but add their number to position_ids themselves; they hold no row at zero
    if form is None or form.padding_row is None:
        return 0
    return int(config.pad_token_id) + 1 if form.first_row == "pad+1" else form.first_row  # type: ignore[union-attr]


def _logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch labels"]:
    logits: Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits


def _by_length(
    right: Bool[np.ndarray, " documents"], sizes: Int64[np.ndarray, " documents"], length: int
) -> dict[str, dict[str, float]]:
    """Accuracy and number of documents in four buckets up to the length, and of those that are cut."""
    edges = sorted({round(length * quarter / 4) for quarter in range(5)})
    accuracy, documents = {}, {}
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        inside = (sizes > low) & (sizes <= (high or sizes.max()))
        if inside.any():
            name = f"{low + 1}–{high} tokens" if high else f"over {low} tokens, cut"
            accuracy[name], documents[name] = float(right[inside].mean()), float(inside.sum())
    return {"accuracy by length": accuracy, "documents by length": documents}


def _read(source: str, options: Options) -> LabelledSource:
    return read_labelled(
        source, options.text_column, options.label_column, header=options.header, encoding=options.encoding
    )


def _identify(document: Document) -> bytes:
    return hash_text(document[0])


def _encode(documents: Sequence[Document], labels: tuple[str, ...], tokenizer: Tokenizer) -> Examples:
    encoded = tokenizer.encode_all([text for text, _ in documents])
    begin = np.array([tokenizer.specials["cls"]], np.int32)
    rows = [np.concatenate([begin, ids]) for ids in encoded]
    index = {label: number for number, label in enumerate(labels)}
    return Examples(
        np.concatenate(rows),
        np.cumsum([0, *map(len, rows)]),
        np.array([index[label] for _, label in documents]),
    )
