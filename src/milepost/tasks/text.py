"""Reading text: a file, a folder of files, or text that comes inside an installed package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from milepost.errors import DataError, UnknownName

BUILTIN_PREFIX = "builtin:"
SUFFIXES = (".txt",)


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


def read_text(source: str, column: str | None = None) -> TextSource:
    """Read ``source``: a ``.txt`` file, a folder of such files at any depth, or ``builtin:NAME``.

    Files are UTF-8, with or without a byte order mark; any newline counts as ``\\n``. Files of a
    folder are taken in the order of their relative names, hidden ones are passed over.

    Raises:
        DataError: MP110, for what is missing, empty, not text, or of another format.
        UnknownName: MP104, no built-in of this name.

    >>> read_text("builtin:python-docs").characters > 300_000
    True
    """
    if source.startswith(BUILTIN_PREFIX):
        name = source.removeprefix(BUILTIN_PREFIX)
        if name not in BUILTINS:
            raise UnknownName.among("built-in data set", name, BUILTINS)
        documents = BUILTINS[name]()
    else:
        documents = _read_files(source)
    documents = [text for text in documents if text.strip()]
    if not documents:
        raise DataError("the data holds no text", got=f"{source}: empty or white space only", fix="give text")
    digest = hashlib.sha256()
    for text in documents:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return TextSource(source, tuple(documents), digest.hexdigest())


def _read_files(source: str) -> list[str]:
    path = Path(source)
    if not path.exists():
        raise DataError(
            "there is no data at this path",
            got=source,
            fix="give a .txt file, a folder of them, or builtin:python-docs",
        )
    if not path.is_dir():
        return [_read_file(path)]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise DataError(
            "the folder holds no text files",
            got=f"{source}: no {' or '.join(SUFFIXES)}",
            fix="give a folder with .txt files",
        )
    return [_read_file(file) for file in files]


def _read_file(file: Path) -> str:
    if file.suffix.lower() not in SUFFIXES:
        raise DataError(
            "this format cannot be read", got=str(file), fix=f"give {' or '.join(SUFFIXES)} files"
        )
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "a file is not UTF-8 text",
            got=f"{file}: byte 0x{content[error.start]:02x} at offset {error.start}",
            fix="convert it to UTF-8, or leave it out",
        ) from None
    except OSError as error:
        raise DataError(
            "a file cannot be read", got=f"{file}: {error.strerror}", fix="check the file and its permissions"
        ) from None
    if "\x00" in text:
        raise DataError(
            "a file is binary",
            got=f"{file}: a zero byte at character {text.index(chr(0))}",
            fix="give text files",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _python_docs() -> list[str]:
    # the language reference that pydoc shows; part of CPython's standard library, so of every install
    from pydoc_data.topics import topics

    return [topics[key] for key in sorted(topics)]


BUILTINS: dict[str, Callable[[], list[str]]] = {"python-docs": _python_docs}
