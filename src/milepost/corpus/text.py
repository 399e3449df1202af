"""Reading documents: files, folders of files, or text that comes inside an installed package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from milepost.corpus import markov, python_library, tables
from milepost.corpus.decoding import UTF_8, read_encoding
from milepost.corpus.sources import find_files, hash_texts, read_characters
from milepost.errors import DataError, OptionError, UnknownName
from milepost.storage.files import expand

BUILTIN_PREFIX = "builtin:"
SUFFIXES = (".txt", *tables.SUFFIXES)

_Document = TypeVar("_Document")


@dataclass(frozen=True)
class TextSource:
    """Documents and where they came from.

    Args:
        name: what the user wrote, a path or ``builtin:NAME``.
        documents: the texts, newlines as ``\\n``, in a fixed order.
        sha256: of all documents and their boundaries; the identity of the data.
    """

    name: str
    documents: tuple[str, ...]
    sha256: str

    @property
    def characters(self) -> int:
        """Characters in all documents."""
        return sum(map(len, self.documents))


@dataclass(frozen=True)
class LabelledSource:
    """Documents with a label each.

    Args:
        name: what the user wrote.
        documents: text and label, in a fixed order.
        sha256: of all texts and labels.
    """

    name: str
    documents: tuple[tuple[str, str], ...]
    sha256: str


def read_text(
    source: str, column: str | None = None, *, header: bool = True, encoding: str = UTF_8
) -> TextSource:
    """Read documents: each ``.txt`` file is one, each row of a table is one.

    A byte order mark is skipped; any newline counts as ``\\n``. Documents without text are skipped.

    Args:
        source: a ``.txt``, ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet`` file, a folder of files of one of
            these formats at any depth, in the order of their names, or ``builtin:NAME``.
        column: name of the texts' column, or its index from 0; ``text``, or the only one, by default.
        header: whether the first row of a ``.csv`` or ``.tsv`` names its columns.
        encoding: of the files, as Python names it.

    Raises:
        DataError: MP110, for what is missing, empty, not text, malformed, or of another format.
        UnknownName: MP104, no built-in of this name. OptionError: MP105, a column of what has none.
        MissingExtra: MP106, Parquet without pyarrow. UnsafeFile: MP130, a link out of the folder.

    >>> read_text("builtin:python-docs").characters > 300_000
    True
    """
    if source.startswith(BUILTIN_PREFIX):
        _refuse_columns(source, column)
        texts = _builtin(source, BUILTINS)
    else:
        texts, encoding = [], read_encoding(encoding)
        for file in find_files(source, SUFFIXES):
            if file.suffix.lower() == ".txt":
                _refuse_columns(str(file), column)
                texts.append(read_characters(file, encoding))
            else:
                rows = tables.read_columns(file, _choose(column), header=header, encoding=encoding)
                texts += [row[0] for row in rows]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise DataError("the data holds no text", got=f"{source}: empty or white space only", fix="give text")
    return TextSource(source, tuple(texts), hash_texts(texts))


def read_labelled(
    source: str,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    header: bool = True,
    encoding: str = UTF_8,
) -> LabelledSource:
    """Read documents with a label each: rows of a table, or ``.txt`` files in a folder for each label.

    Args:
        source: as for ``read_text``.
        text_column: name or index from 0; ``text`` by default.
        label_column: name or index from 0; ``label`` by default.
        header: whether the first row of a ``.csv`` or ``.tsv`` names its columns.
        encoding: of the files, as Python names it.

    Raises:
        DataError: MP110, also for a row without a label. Others as ``read_text``.

    >>> read_labelled("builtin:python-docstrings").documents[0][1]
    'asyncio'
    """
    if source.startswith(BUILTIN_PREFIX):
        _refuse_columns(source, text_column or label_column)
        documents = _builtin(source, LABELLED)
    else:
        documents, encoding = [], read_encoding(encoding)
        for file in find_files(source, SUFFIXES, what="labelled text"):
            if file.suffix.lower() == ".txt":
                _refuse_columns(str(file), text_column or label_column)
                documents.append((read_characters(file, encoding), _label_of(file, expand(source))))
            else:
                documents += _labelled_rows(file, text_column, label_column, header, encoding)
    documents = [(text, label) for text, label in documents if text.strip()]
    if not documents:
        raise DataError("the data holds no text", got=f"{source}: empty or white space only", fix="give text")
    return LabelledSource(source, tuple(documents), hash_texts(one for pair in documents for one in pair))


def _labelled_rows(
    file: Path, text_column: str | None, label_column: str | None, header: bool, encoding: str
) -> list[tuple[str, str]]:
    def choose(names: Sequence[str]) -> list[int]:
        label = tables.find_column(label_column, names, default="label", option="--label-column")
        return [*_choose(text_column)(names), label]

    rows = tables.read_columns(file, choose, header=header, encoding=encoding)
    for number, (text, label) in enumerate(rows, 1):
        if text.strip() and not label.strip():
            raise DataError("a document has no label", got=f"{file}, row {number}", fix="label or drop it")
    return [(text, label.strip()) for text, label in rows]


def _label_of(file: Path, source: Path) -> str:
    parts = file.relative_to(source).parts if source.is_dir() else ()
    if len(parts) < 2:
        raise DataError(
            "a text file has no label",
            got=str(file),
            fix="put the files of each label in a folder of its name",
        )
    return parts[0]


def _choose(column: str | None) -> tables.Choose:
    return lambda names: [tables.find_column(column, names, default="text", option="--text-column")]


def _refuse_columns(source: str, column: str | None) -> None:
    if column is not None:
        raise OptionError(
            "this data has no columns", got=f"{source}, column {column!r}", fix="name no column"
        )


def _builtin(source: str, known: Mapping[str, Callable[[], list[_Document]]]) -> list[_Document]:
    name = source.removeprefix(BUILTIN_PREFIX)
    if name not in known:
        raise UnknownName.among("built-in data set for this task", name, known)
    return known[name]()


BUILTINS: dict[str, Callable[[], list[str]]] = {
    "markov": markov.build_text,
    "python-docs": python_library.read_topics,
}
LABELLED: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "python-docstrings": python_library.read_docstrings
}
