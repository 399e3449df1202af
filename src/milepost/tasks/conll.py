"""Reading words with a tag each: columns of CoNLL's shared tasks, and CoNLL-U."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost.corpus import python_library
from milepost.corpus.decoding import UTF_8, read_encoding
from milepost.corpus.sources import check_rows, find_files, hash_texts, is_there, iterate_lines
from milepost.corpus.tables import find_column
from milepost.corpus.text import BUILTIN_PREFIX
from milepost.errors import DataError, OptionError, UnknownName
from milepost.storage.files import expand

SUFFIXES = (".conll", ".conllu", ".bio", ".iob", ".iob2")
COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""Of CoNLL-U."""
_DOCUMENT = "-DOCSTART-"

Sentence = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TaggedSource:
    """Documents of sentences of words with a tag each.

    Args:
        name: what the user wrote.
        documents: in their order; each sentence is one where nothing marks documents.
        marked: whether the data says where documents begin.
        sha256: of all words, tags and boundaries.
    """

    name: str
    documents: tuple[tuple[Sentence, ...], ...]
    marked: bool
    sha256: str


def read_tagged(
    source: str,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    encoding: str = UTF_8,
) -> TaggedSource:
    """Read words and tags: a word a line, columns set apart by tabs or blanks, an empty line after a sentence.

    In CoNLL-U (``.conllu``) words are the column ``form`` and tags ``upos``; ranges and empty words are
    passed over. Elsewhere words are the first column and tags the last. Documents begin at ``-DOCSTART-``
    or ``# newdoc``.

    Args:
        source: a file (any suffix but ``.conllu`` is taken for columns), a folder of ``.conll``, ``.bio``,
            ``.iob``, ``.iob2`` or ``.conllu`` files, or ``builtin:python-tokens``.
        text_column: of the words: an index from 0, or a name of CoNLL-U.
        label_column: of the tags, likewise.
        encoding: of the files, as Python names it.

    Raises:
        DataError: MP110, with the line, for what is malformed. UnknownName: MP104, no such built-in.
        OptionError: MP105, a column of a built-in. UnsafeFile: MP130, a link out of the folder.

    >>> read_tagged("builtin:python-tokens").documents[0][2][:3]
    (('def', 'keyword'), ('message_from_string', 'function'), ('(', 'operator'))
    """
    if source.startswith(BUILTIN_PREFIX):
        documents, marked = _builtin(source, text_column or label_column), True
    else:
        path = expand(source)
        lone = is_there(path) and not path.is_dir()
        files = [path] if lone else find_files(source, SUFFIXES, what="tagged")
        codec = read_encoding(encoding)
        read = [_read(file, text_column, label_column, codec) for file in files]
        marked = any(len(one) > 1 for one in read)
        documents = [[s] for one in read for d in one for s in d]
        if marked:
            documents = [document for one in read for document in one]
    kept = tuple(tuple(tuple(sentence) for sentence in document) for document in documents if document)
    if not kept:
        raise DataError("the data holds no words", got=f"{source}: empty", fix="give tagged words")
    digest = hash_texts(hash_sentences(document) for document in kept)
    return TaggedSource(source, kept, marked, digest)


def hash_sentences(document: Sequence[Sentence]) -> str:
    """SHA-256 of words, tags and the boundaries between them, hexadecimal."""
    return hash_texts(text for sentence in document for pair in (*sentence, ("", "")) for text in pair)


def _builtin(source: str, column: str | None) -> list[list[list[tuple[str, str]]]]:
    name = source.removeprefix(BUILTIN_PREFIX)
    if name not in TAGGED:
        raise UnknownName.among("built-in data set for this task", name, TAGGED)
    if column is not None:
        raise OptionError(
            "this data has no columns", got=f"{source}, column {column!r}", fix="name no column"
        )
    return TAGGED[name]()


def _read(
    file: Path, text_column: str | None, label_column: str | None, encoding: str
) -> list[list[list[tuple[str, str]]]]:
    """Documents of a file; one where it marks none."""
    universal = file.suffix.lower() == ".conllu"
    documents: list[list[list[tuple[str, str]]]] = [[[]]]
    chosen, fields = None, 0
    known: dict[tuple[str, str], tuple[str, str]] = {}  # words come back: each pair is held once
    for number, line in enumerate(iterate_lines(file, encoding), 1):
        line = line.removesuffix("\n")
        row = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            if documents[-1][-1]:
                documents[-1].append([])
        elif row[0] == _DOCUMENT or (universal and line.startswith("# newdoc")):
            documents.append([[]])
        elif not universal or not (line.startswith("#") or {"-", "."} & set(row[0])):
            if chosen is None:
                fields = len(row)
                chosen = _choose(text_column, label_column, fields, universal)
            if len(row) != fields or not (row[chosen[0]].strip() and row[chosen[1]].strip()):
                raise DataError(
                    "a line lacks a word or a tag, or has another number of columns than the first",
                    got=f"{file}, line {number}: {line[:80]!r}, {fields} columns in the first",
                    fix="mend the line; an empty line ends a sentence",
                )
            check_rows(str(file), number)
            pair = row[chosen[0]], row[chosen[1]].strip()
            documents[-1][-1].append(known.setdefault(pair, pair))
    full = [[sentence for sentence in document if sentence] for document in documents]
    return [document for document in full if document]


def _choose(
    text_column: str | None, label_column: str | None, fields: int, universal: bool
) -> tuple[int, int]:
    names = COLUMNS if universal else [str(index) for index in range(fields)]
    if fields < 2 or (universal and fields != len(COLUMNS)):
        raise DataError(
            "tagged words take two columns or more, CoNLL-U ten",
            got=f"{fields} in the first line",
            fix="give a word and a tag a line, set apart by a tab",
        )
    word, tag = ("form", "upos") if universal else (names[0], names[-1])
    return (
        find_column(text_column, names, default=word, option="--text-column"),
        find_column(label_column, names, default=tag, option="--label-column"),
    )


TAGGED: dict[str, Callable[[], list[list[list[tuple[str, str]]]]]] = {
    "python-tokens": python_library.read_tagged_sources
}
