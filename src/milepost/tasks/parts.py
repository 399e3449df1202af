"""Documents in three parts that share none: training, validation, test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from milepost.errors import DataError

VALIDATION_SHARE, TEST_SHARE = 0.05, 0.1
FEWEST_TO_HOLD_OUT = 20

Document = TypeVar("Document")


@dataclass(frozen=True)
class Parts(Generic[Document]):
    """Documents of the three parts, in the order they came.

    Args:
        train: what models learn from.
        validation: what learning rates are chosen on.
        test: what is reported.
        repeated: documents that were left out because the same one was there before.
    """

    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    test: tuple[Document, ...]
    repeated: int = 0


def hash_text(text: str) -> bytes:
    """What tells documents apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def hash_data(main: str, given: Mapping[str, str], tokenizer: str = "") -> str:
    """Identity of data: the hash of the main source, of parts that the user gave, and of a tokenizer's file.

    >>> hash_data("aa", {})
    'aa'
    """
    said = [f"{part} {sha256}" for part, sha256 in given.items()] + [f"tokenizer {tokenizer}"] * bool(
        tokenizer
    )
    return hashlib.sha256(" ".join([main, *said]).encode()).hexdigest() if said else main


def split_documents(
    documents: Sequence[Document], identify: Callable[[Document], bytes], size: Callable[[Document], int]
) -> Parts[Document] | None:
    """Hold out whole documents, chosen by their hashes alone, so that added ones never move others much.

    A document that is there twice is kept once. The test part takes about a tenth of the whole size, the
    validation part a twentieth; a document of more than twice what is still wanted is passed over.

    Returns:
        The parts; None where there are too few documents to hold any out.

    >>> parts = split_documents([f"text {i}" for i in range(100)], lambda t: hash_text(t), len)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (85, 5, 10)
    """
    unique = {identify(document): document for document in reversed(documents)}
    if len(unique) < FEWEST_TO_HOLD_OUT:
        return None
    whole = sum(map(size, unique.values()))
    held: dict[bytes, int] = {}
    for part, share in ((2, TEST_SHARE), (1, VALIDATION_SHARE)):
        wanted = share * whole
        for key in sorted(unique.keys() - held.keys()):
            if wanted <= 0:
                break
            if size(unique[key]) <= 2 * wanted:
                held[key] = part
                wanted -= size(unique[key])
        if wanted > share * whole / 2:  # a few huge documents: whole ones cannot be held out fairly
            return None
    sorted_out: tuple[list[Document], ...] = ([], [], [])
    for key, document in reversed(unique.items()):
        sorted_out[held.get(key, 0)].append(document)
    train, validation, test = map(tuple, sorted_out)
    return Parts(train, validation, test, len(documents) - len(unique))


def make_parts(
    documents: Sequence[Document],
    given: Mapping[str, Sequence[Document]],
    identify: Callable[[Document], bytes],
    size: Callable[[Document], int],
    *,
    few: Callable[[Sequence[Document]], Parts[Document]],
) -> Parts[Document]:
    """The three parts; those that the user gave stay as they are, the others are held out.

    Args:
        documents: to be split.
        given: ``validation``, ``test``, both or none.
        identify: what tells documents apart.
        size: of a document, in any unit.
        few: makes the parts where there are too few documents to hold whole ones out.

    Raises:
        DataError: MP110, when a part that was given shares a document with another.
    """
    if given.keys() == {"validation", "test"}:
        parts = Parts(tuple(documents), tuple(given["validation"]), tuple(given["test"]))
    else:
        parts = split_documents(documents, identify, size) or few(documents)
        if "test" in given:  # both held-out shares of the data are for validation then
            parts = Parts(parts.train, parts.validation + parts.test, tuple(given["test"]), parts.repeated)
        elif given:
            parts = Parts(parts.train, tuple(given["validation"]), parts.test, parts.repeated)
    if given:
        # before it is cut: a lone document has no whole copy in its parts
        validation, test = (tuple(given.get(part, ())) for part in ("validation", "test"))
        check_apart(Parts(tuple(documents), validation, test), identify)
    return parts


def refuse_few(documents: Sequence[Document]) -> NoReturn:
    """What ``make_parts`` does with too few documents that cannot be cut.

    Raises:
        DataError: MP110, always.
    """
    raise DataError(
        "there are too few documents to hold some out",
        got=f"{len(documents)} with all copies",
        fix=f"give {FEWEST_TO_HOLD_OUT} different ones or more, or both parts: --validation DATA --test DATA",
    )


def check_apart(parts: Parts[Document], identify: Callable[[Document], bytes]) -> None:
    """Refuse parts that share a document.

    Raises:
        DataError: MP110.

    >>> check_apart(Parts(("a", "b"), ("c",), ("a",)), hash_text)
    Traceback (most recent call last):
    ...
    milepost.errors.DataError: ...
    """
    known = {name: set(map(identify, getattr(parts, name))) for name in ("train", "validation", "test")}
    for first, second in (("train", "test"), ("train", "validation"), ("validation", "test")):
        shared = len(known[first] & known[second])
        if shared:
            raise DataError(
                f"the {first} and the {second} part share documents",
                got=f"{shared} of {len(known[second])} in the {second} part",
                fix="leave them out of one; a result on what was trained on says nothing",
            )
