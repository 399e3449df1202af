"""Text as token ids: one stream for each part, documents joined in their order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float64, Int32, Int64

from milepost.corpus.sources import hash_texts
from milepost.corpus.text import TextSource, read_text
from milepost.corpus.tokenizers import Tokenizer, build_tokenizer
from milepost.errors import DataError, OptionError
from milepost.tasks.batches import TOKENS_A_BATCH
from milepost.tasks.parts import TEST_SHARE, VALIDATION_SHARE, Parts, hash_data, hash_text, make_parts
from milepost.tasks.task import PARTS, Options

MAX_TEST_TOKENS = 65_536
SEPARATOR = "\n\n"
PROTOCOLS = ("blocks", "sliding")
_BLOCKS, _SHORTEST_BLOCK = 20, 2_000  # of a document's test part, and characters of each
_NEAR = 200  # characters


@dataclass(frozen=True)
class Streams:
    """Token ids of the three parts of a text.

    Args:
        name: what the user wrote.
        facts: what a result says of the text.
        sha256: of all documents, their parts and the tokenizer; the identity of the data.
        tokenizer: how text became ids.
        parts: ids of each part by name, shape ``(tokens,)``; of validation and test the first 65,536.
    """

    name: str
    facts: Mapping[str, str | int | float]
    sha256: str
    tokenizer: Tokenizer
    parts: Mapping[str, Int32[np.ndarray, " tokens"]]

    @classmethod
    def read(cls, source: str, options: Options) -> Self:
        """Read, split and tokenize; no document is in two parts.

        Where there are too few documents to hold whole ones out, blocks of each are, from all over it.

        Raises:
            DataError: MP110. UnknownName: MP104, no such tokenizer or built-in. OptionError: MP105.
        """
        if options.evaluate not in PROTOCOLS:
            raise OptionError(
                "text is measured in blocks or by a sliding window",
                got=f"evaluate={options.evaluate!r}",
                fix="--evaluate blocks, or --evaluate sliding",
            )

        def read(path: str) -> TextSource:
            return read_text(path, options.text_column, header=options.header, encoding=options.encoding)

        main = read(source)
        given = {
            part: read(path)
            for part, path in (("validation", options.validation), ("test", options.test))
            if path is not None
        }
        held = {part: one.documents for part, one in given.items()}
        parts = make_parts(main.documents, held, hash_text, len, few=_cut)
        known = (*main.documents, *(text for one in given.values() for text in one.documents), SEPARATOR)
        tokenizer = build_tokenizer(options.tokenizer, known, parts.train)
        ids = {part: _join(tokenizer, getattr(parts, part)) for part in PARTS}
        ids |= {part: ids[part][: MAX_TEST_TOKENS + 1] for part in PARTS[1:]}
        hashes = {part: one.sha256 for part, one in given.items()}
        if set(parts.train) <= set(main.documents):
            identity = hash_data(main.sha256, hashes, tokenizer.sha256)
        else:  # where documents were cut is a part of what the data is
            cut = hash_texts(text for part in PARTS for text in getattr(parts, part))
            identity = hash_data(main.sha256, hashes | {"cut": cut}, tokenizer.sha256)
        facts: dict[str, str | int | float] = {
            "source": main.name,
            "sha256": hash_data(main.sha256, hashes),
            "documents": len(main.documents) + sum(len(one.documents) for one in given.values()),
            "repeated_documents": parts.repeated,
            "characters": main.characters + sum(one.characters for one in given.values()),
            "tokenizer": tokenizer.name,
            "vocabulary": tokenizer.vocabulary_size,
            **{f"{part}_tokens": len(ids[part]) for part in PARTS},
        }
        return cls(main.name, facts, identity, tokenizer, ids)

    def check_lengths(self, train_length: int, longest: int) -> None:
        """Refuse lengths for which a part has not a single window.

        Raises:
            DataError: MP110.
        """
        for part, wanted in (("train", train_length), ("validation", train_length), ("test", longest)):
            if len(self.parts[part]) < wanted + 1:
                raise DataError(
                    f"the text is too short: its {part} part does not fill one window",
                    got=f"{len(self.parts[part])} {self.tokenizer.name} tokens in the {part} part, {wanted + 1} wanted",
                    fix=f"give more text (about {20 * (wanted + 1)} tokens in all), or shorter lengths",
                )

    def windows(self, seed: int, step: int, size: int, length: int) -> Int64[np.ndarray, "batch length"]:
        """Windows of the training part at random places: a function of the arguments alone."""
        ids = self.parts["train"]
        starts = np.random.default_rng([seed, step]).integers(0, len(ids) - length + 1, size=size)
        return ids[starts[:, None] + np.arange(length)].astype(np.int64)

    def blocks(
        self, part: str, length: int, stride: int, *, more: int = 0
    ) -> Iterator[Int64[np.ndarray, "batch length"]]:
        """Windows of a part in order, a batch at a time.

        Args:
            part: whose ids.
            length: of a window.
            stride: from the beginning of one to that of the next.
            more: tokens that follow each window and come with it.
        """
        ids = self.parts[part]
        starts = np.arange(0, len(ids) - length - more + 1, stride)
        size = max(1, TOKENS_A_BATCH // length)
        for first in range(0, len(starts), size):
            yield ids[starts[first : first + size, None] + np.arange(length + more)].astype(np.int64)

    def unigram_loss(self, part: str = "test") -> float:
        """Loss of predicting a part from training frequencies alone, in nats a token."""
        return float(-np.log(self.frequencies())[self.parts[part]].mean())

    def frequencies(self) -> Float64[np.ndarray, " vocabulary"]:
        """Share of each id in the training part, smoothed by adding one."""
        counts = np.bincount(self.parts["train"], minlength=self.tokenizer.vocabulary_size) + 1.0
        return counts / counts.sum()


def stride_of(protocol: str, length: int) -> int:
    """How far windows are apart: their length for ``blocks``, a quarter of it for ``sliding``."""
    return length if protocol == "blocks" else max(1, length // 4)


def _join(tokenizer: Tokenizer, documents: Sequence[str]) -> Int32[np.ndarray, " tokens"]:
    between = tokenizer.encode(SEPARATOR)
    pieces = [piece for ids in tokenizer.encode_all(documents) for piece in (ids, between)]
    return np.concatenate([np.empty(0, np.int32), *pieces[:-1]])  # a part may have no documents


def _cut(documents: Sequence[str]) -> Parts[str]:
    unique = list(dict.fromkeys(documents))
    pieces = [_cut_in_blocks(text) for text in unique]
    train, validation, test = (tuple(piece[i] for piece in pieces if piece[i]) for i in range(3))
    return Parts(train, validation, test, len(documents) - len(unique))


def _cut_in_blocks(text: str) -> tuple[str, str, str]:
    """Cut a text into training, validation and test blocks, so that each part is from all over it.

    The end of a file is often of another kind: a licence, an index. Up to 20 test blocks, fewer in a short
    text, lie at equal distances from a place that follows from the text; a validation block follows each. Behind
    the end they go on at the beginning, so that each character is as likely to be in the test part.
    """
    count = max(1, min(_BLOCKS, int(len(text) * TEST_SHARE / _SHORTEST_BLOCK)))
    test, validation = (round(len(text) * share / count) for share in (TEST_SHARE, VALIDATION_SHARE))
    phase = int.from_bytes(hash_text(text)[:8], "little") % len(text)
    starts = [phase + len(text) * block // count for block in range(count)]
    begun = [
        (at, part)
        for start in starts
        for at, part in ((start, 2), (start + test, 1), (start + test + validation, 0))
    ]
    begun = sorted(((at % len(text), part) for at, part in begun), key=lambda one: one[0])
    cuts = [0, *(_line_end(text, at, min(_NEAR, validation // 4)) for at, _ in begun), len(text)]
    parts: tuple[list[str], ...] = ([], [], [])
    for part, (start, end) in zip(
        [begun[-1][1], *(part for _, part in begun)], itertools.pairwise(cuts), strict=True
    ):
        parts[part].append(text[start:end])
    train, validated, tested = map("".join, parts)
    return train, validated, tested


def _line_end(text: str, place: int, near: int) -> int:
    """The end of the line at a place where that is near, so that blocks hold whole lines."""
    return text.find("\n", place, place + near) + 1 or place
