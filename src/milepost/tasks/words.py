"""Tagged words of one part as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Int64

from milepost.corpus.tokenizers import Tokenizer
from milepost.tasks.batches import IGNORED
from milepost.tasks.conll import Sentence


@dataclass(frozen=True)
class Words:
    """Words of one part, as tokens; sentences follow each other within their document.

    Args:
        ids: tokens of all words, shape ``(tokens,)``.
        labels: tag of the word at its first token, -100 at the others, shape ``(tokens,)``.
        documents: where each document begins, and the end of the last, in tokens.
        sentences: where each sentence begins, and the end of the last, in words.
    """

    ids: Int32[np.ndarray, " tokens"]
    labels: Int64[np.ndarray, " tokens"]
    documents: Int64[np.ndarray, " documents+1"]
    sentences: Int64[np.ndarray, " sentences+1"]

    @property
    def firsts(self) -> Int64[np.ndarray, " words"]:
        """Places of the first token of each word."""
        return np.flatnonzero(self.labels != IGNORED)

    def end_of(self, starts: Int[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Ends of the documents in which places lie."""
        return self.documents[np.searchsorted(self.documents, starts, side="right")]


def encode_words(
    documents: Sequence[tuple[Sentence, ...]], labels: tuple[str, ...], tokenizer: Tokenizer, marked: bool
) -> Words:
    """Words as tokens; sentences that nothing divides into documents are one document."""
    if not marked:
        documents = [tuple(sentence for document in documents for sentence in document)]
    sentences = [sentence for document in documents for sentence in document]
    known = sorted({word for sentence in sentences for word, _ in sentence})
    # a word of which the tokenizer leaves nothing stands as one pad, so that it can be scored
    nothing = np.array([tokenizer.specials["pad"]], np.int32)
    encoded = tokenizer.encode_all([tokenizer.word_form.format(word) for word in known])
    tokens = {word: ids if len(ids) else nothing for word, ids in zip(known, encoded, strict=True)}
    words = [tokens[word] for sentence in sentences for word, _ in sentence]
    index = {label: number for number, label in enumerate(labels)}
    starts = np.cumsum([0, *map(len, words)])
    tags = np.full(starts[-1], IGNORED)
    tags[starts[:-1]] = [index[tag] for sentence in sentences for _, tag in sentence]
    in_words = np.cumsum([0, *map(len, sentences)])
    ends = np.cumsum([0, *map(len, documents)])
    return Words(np.concatenate([nothing[:0], *words]), tags, starts[in_words[ends]], in_words)
