"""Tokenizers: characters, bytes, files of known formats, or one trained on the user's own text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from milepost.corpus import MAX_TOKENIZER_BYTES, TokenizerProcess, require_library
from milepost.corpus.sources import is_there
from milepost.errors import DataError, MissingExtra, OptionError, UnknownName
from milepost.storage.files import expand
from milepost.storage.folder import Folder

Ids = Int32[np.ndarray, " tokens"]

_SPECIALS = {
    "pad": ("[PAD]", "<pad>"),
    "cls": ("[CLS]", "<s>"),
    "mask": ("[MASK]", "<mask>"),
}
_BYTES = 256
_KNOWN = ("char", "byte", "train:bpe:8000", "a tokenizer.json, a model folder or a SentencePiece .model")


@dataclass(frozen=True)
class Tokenizer:
    """A way to turn text into token ids; it adds no special tokens and cuts nothing off.

    Args:
        name: as the user writes it.
        vocabulary_size: number of different ids.
        encode_all: texts to int32 ids, shape ``(tokens,)`` each.
        specials: ids of the special tokens it has, by kind: ``pad``, ``cls``, ``mask``.
        sha256: of a file's contents, or of what was trained; empty where the text alone decides.
        word_form: how a word of a sentence is written to be encoded by itself.
    """

    name: str
    vocabulary_size: int
    encode_all: Callable[[Sequence[str]], list[Ids]]
    specials: Mapping[str, int] = field(default_factory=dict)
    sha256: str = ""
    word_form: str = " {}"

    def encode(self, text: str) -> Ids:
        """The ids of one text.

        >>> build_tokenizer("byte", []).encode("é").tolist()
        [195, 169]
        """
        return self.encode_all([text])[0]

    def with_specials(self, *kinds: str) -> Tokenizer:
        """The same tokenizer with an id for each kind of special token; what it lacks comes after all others.

        >>> build_tokenizer("byte", []).with_specials("cls", "pad").specials
        {'cls': 256, 'pad': 257}
        """
        missing = [kind for kind in kinds if kind not in self.specials]
        added = {kind: self.vocabulary_size + place for place, kind in enumerate(missing)}
        return replace(
            self, vocabulary_size=self.vocabulary_size + len(missing), specials={**self.specials, **added}
        )


def build_tokenizer(name: str, documents: Iterable[str], train: Sequence[str] = ()) -> Tokenizer:
    """Build a tokenizer by its name.

    Truncation and padding that a file asks for are switched off: lengths are cut by tasks, in the open. A
    tokenizer out of a file runs in a process of its own, with limits of computing time and memory.

    Args:
        name: ``char`` (each character that occurs in the documents), ``byte`` (UTF-8), ``train:bpe:N``
            (byte-level BPE of at most N entries), or a path: a ``tokenizer.json``, a model folder, a
            SentencePiece ``.model``.
        documents: all that will be encoded.
        train: what ``train:bpe:N`` learns from; nothing else of the data reaches it.

    Raises:
        UnknownName: MP104, no such name or path. OptionError: MP105, a vocabulary below 257.
        DataError: MP110, a file that is no tokenizer, exceeds a limit, or has ids above ``MAX_VOCABULARY``.
        MissingExtra: MP106.
        UnsafeFile: MP130, a link out of the model folder.

    >>> build_tokenizer("char", ["abca"]).encode("cab").tolist()
    [2, 0, 1]
    """
    if name == "char":
        return _characters(documents)
    if name == "byte":
        return Tokenizer(
            "byte", _BYTES, lambda texts: [_as_ids(text.encode()) for text in texts], word_form="{} "
        )
    if name.startswith("train:"):
        return _trained(name, train)
    path = expand(name)
    if not is_there(path):
        raise UnknownName.among("tokenizer", name[:300], _KNOWN)
    if path.is_dir():
        return _from_folder(name, path)
    kind = "sentencepiece" if path.suffix == ".model" else "json"
    require_library(kind)
    real = path.resolve()
    with Folder(real.parent) as folder:
        return _isolated(name, kind, _read(folder, real.name))


def _characters(documents: Iterable[str]) -> Tokenizer:
    # through UTF-32 the whole text is one integer array: no Python loop over characters
    seen = np.unique(np.concatenate([np.unique(_code_points(text)) for text in documents]))

    def encode_all(texts: Sequence[str]) -> list[Ids]:
        return [np.searchsorted(seen, _code_points(text)).astype(np.int32) for text in texts]

    return Tokenizer("char", len(seen), encode_all, word_form="{} ")


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _as_ids(encoded: bytes) -> Ids:
    return np.frombuffer(encoded, np.uint8).astype(np.int32)


def _trained(name: str, train: Sequence[str]) -> Tokenizer:
    asked = re.fullmatch(r"train:bpe:(\d{1,9})", name)
    if asked is None or int(asked[1]) <= _BYTES:
        raise OptionError(
            "a trained tokenizer is byte-level BPE of more than 256 entries",
            got=name,
            fix="for example train:bpe:8000",
        )
    library = _library()
    built = library.Tokenizer(library.models.BPE())
    built.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = library.trainers.BpeTrainer(
        vocab_size=int(asked[1]),
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    built.train_from_iterator(train, trainer)

    def encode_all(texts: Sequence[str]) -> list[Ids]:
        encoded = built.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(one.ids, np.int32) for one in encoded]

    sha256 = hashlib.sha256(built.to_str().encode()).hexdigest()
    return Tokenizer(name, built.get_vocab_size(), encode_all, {}, sha256)


def _from_folder(name: str, path: Path) -> Tokenizer:
    with Folder(path) as folder:
        if "tokenizer.json" in folder.names:
            return _isolated(name, "json", _read(folder, "tokenizer.json"))
        for one in folder.names:
            folder.size(one)  # refuses pipes and links that lead out before transformers opens them
    return _isolated(name, "folder", str(path.resolve()).encode())


def _read(folder: Folder, file: str) -> bytes:
    size = folder.size(file)
    if size > MAX_TOKENIZER_BYTES:
        raise DataError(
            "the tokenizer's file is too large",
            got=f"{file[:80]}: {size:,} bytes",
            fix=f"at most {MAX_TOKENIZER_BYTES:,} bytes are read",
        )
    return folder.read(file, 0, size)


def _isolated(name: str, kind: str, content: bytes) -> Tokenizer:
    """A tokenizer out of a file, which may hold anything, in a process with limits."""
    process = TokenizerProcess(name, kind, content)
    facts = process.facts
    return Tokenizer(name, facts.vocabulary_size, process.encode_all, _specials(facts.ids), facts.sha256)


def _specials(ids: Mapping[str, int]) -> dict[str, int]:
    return {kind: ids[one] for kind, names in _SPECIALS.items() for one in names[::-1] if one in ids}


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtra.of("torch", "tokenizers") from None
    return tokenizers
