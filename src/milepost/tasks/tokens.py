"""Tokens without a tokenizer file: characters and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from milepost.errors import UnknownName


@dataclass(frozen=True)
class Tokenizer:
    """A way to turn text into token ids.

    Args:
        name: as the user writes it.
        vocabulary_size: number of different ids.
        encode: text to int32 ids, shape ``(tokens,)``.
    """

    name: str
    vocabulary_size: int
    encode: Callable[[str], Int32[np.ndarray, " tokens"]]


def build_tokenizer(name: str, documents: Iterable[str], train: str = "") -> Tokenizer:
    """Build the tokenizer ``char`` (every character that occurs in the documents) or ``byte`` (UTF-8).

    Raises:
        UnknownName: MP104.

    >>> build_tokenizer("char", ["abca"]).encode("cab").tolist()
    [2, 0, 1]
    """
    if name not in _BUILDERS:
        raise UnknownName.among("tokenizer", name, _BUILDERS)
    return _BUILDERS[name](documents)


def _characters(documents: Iterable[str]) -> Tokenizer:
    # through UTF-32 the whole text is one integer array: no Python loop over characters
    seen = np.unique(np.concatenate([np.unique(_code_points(text)) for text in documents]))

    def encode(text: str) -> Int32[np.ndarray, " tokens"]:
        return np.searchsorted(seen, _code_points(text)).astype(np.int32)

    return Tokenizer("char", len(seen), encode)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _bytes(documents: Iterable[str]) -> Tokenizer:
    return Tokenizer("byte", 256, lambda text: np.frombuffer(text.encode(), np.uint8).astype(np.int32))


_BUILDERS: dict[str, Callable[[Iterable[str]], Tokenizer]] = {"char": _characters, "byte": _bytes}
