"""Files of data: found in a folder, read as text, refused where they are not what they should be."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from milepost.corpus.decoding import UTF_8, guess_encoding
from milepost.errors import DataError, UnsafeFile
from milepost.storage.files import expand, open_regular, unreadable

MAX_DATA_BYTES: Final = 1 << 30
"""Of all files of one source, and of the text that compressed ones hold."""
MAX_LINE_CHARACTERS: Final = 1 << 24
"""Of one line, or of one row of a table with the newlines that its cells hold."""
MAX_ROWS: Final = 1 << 22
"""Of one table: each row takes some hundred bytes of memory, however short it is."""
_PIECE_BYTES: Final = 1 << 20


def find_files(source: str, suffixes: Collection[str], *, what: str = "text") -> list[Path]:
    """The files that ``source`` names: itself, or all of one format in a folder, at any depth.

    Files of a folder are taken in the order of their relative names; hidden ones, and those of other
    suffixes, are passed over. Links are followed only within the folder.

    Args:
        source: a file or a folder.
        suffixes: of the formats that can be read, lower case, with their dots.
        what: is looked for, as the error names it.

    Raises:
        DataError: MP110, nothing is there, nothing fits, a folder holds several formats, or its files are
            larger than ``MAX_DATA_BYTES`` together.
        UnsafeFile: MP130, a link out of the folder.
    """
    path, known = expand(source), ", ".join(suffixes)
    if not is_there(path):
        raise DataError(
            "there is no data at this path",
            got=source[:300],
            fix=f"give a file ({known}), a folder, or builtin:NAME",
        )
    if not path.is_dir():
        if path.suffix.lower() not in suffixes:
            raise DataError("this format cannot be read", got=source[:300], fix=f"give files of {known}")
        return [path]
    try:
        files = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in suffixes
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        check_size(source[:300], sum(file.stat().st_size for file in files))
    except (OSError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is nested too deep"
        raise DataError(
            "the folder cannot be read", got=f"{source[:300]}: {reason}", fix="give a folder with files alone"
        ) from None
    formats = Counter(file.suffix.lower() for file in files)
    if len(formats) != 1:
        raise DataError(
            f"the folder holds {'several formats' if formats else f'no {what} files'}",
            got=f"{source}: {', '.join(f'{n} {suffix}' for suffix, n in sorted(formats.items())) or 'none'}",
            fix=f"give a file, or a folder with files of one of {known}",
        )
    for file in files:
        if not file.resolve().is_relative_to(path.resolve()):
            raise UnsafeFile(
                "a file is a link out of the folder", got=str(file), fix="copy the file into the folder"
            )
    return files


def is_there(path: Path) -> bool:
    """Whether there is something at a path; what no system takes for a path names nothing."""
    try:
        return path.exists()
    except OSError:  # too long for a name
        return False


def iterate_characters(file: Path, encoding: str = UTF_8) -> Iterator[str]:
    """The text of a file in pieces, without a byte order mark, any newline as ``\\n``.

    Raises:
        DataError: MP110, for what cannot be read, is too large, is not in ``encoding``, or binary.
    """
    decoder, newlines = codecs.getincrementaldecoder(encoding)(), io.IncrementalNewlineDecoder(None, True)
    offset = characters = 0  # of what was read and decoded so far
    with open_regular(file) as stream:
        check_size(file, os.fstat(stream.fileno()).st_size)
        while True:
            piece, held = _read_piece(file, stream), len(decoder.getstate()[0])
            marked = encoding == UTF_8 and not offset and piece.startswith(codecs.BOM_UTF8)
            mark = len(codecs.BOM_UTF8) if marked else 0
            try:
                text = newlines.decode(decoder.decode(piece[mark:], not piece), not piece)
            except UnicodeError as error:
                what = f"{error} at offset {offset}"  # what some codecs say of a missing byte order mark
                if isinstance(error, UnicodeDecodeError):
                    place = offset - held + mark + error.start
                    what = f"byte 0x{error.object[error.start]:02x} at offset {place}"
                name = "UTF-8" if encoding == UTF_8 else encoding
                raise _not_text(f"a file is not {name} text", f"{file}: {what}", file) from None
            if "\x00" in text:
                at = characters + text.index(chr(0))
                raise _not_text("a file is binary", f"{file}: a zero byte at character {at}", file)
            yield text
            if not piece:
                return
            offset, characters = offset + len(piece), characters + len(text)
            check_size(file, offset)


def _not_text(problem: str, got: str, file: Path) -> DataError:
    with open_regular(file) as stream:
        likely = guess_encoding(_read_piece(file, stream))
    if likely is None:
        return DataError(
            problem, got=got, fix="give text files; convert them to UTF-8, or give compare their --encoding"
        )
    return DataError(
        problem,
        got=f"{got}; it is likely {likely}",
        fix=f"convert it to UTF-8, or give compare --encoding {likely}",
    )


def iterate_lines(file: Path, encoding: str = UTF_8) -> Iterator[str]:
    """The lines of a file, each with its newline, as ``iterate_characters`` reads it.

    Raises:
        DataError: MP110, also for a line of more than ``MAX_LINE_CHARACTERS``.
    """
    rest, number = "", 1
    for piece in iterate_characters(file, encoding):
        *lines, rest = (rest + piece).split("\n")
        if max(len(rest), len(lines[0]) if lines else 0) > MAX_LINE_CHARACTERS:
            raise too_long(f"{file}, line {number}")
        number += len(lines)
        yield from (f"{line}\n" for line in lines)
    if rest:
        yield rest


def too_long(place: str) -> DataError:
    """The error for a line, or a row of a table, of more characters than are read."""
    return DataError(
        "a line or row is too long",
        got=f"{place}: more than {MAX_LINE_CHARACTERS:,} characters",
        fix=f"split it: at most {MAX_LINE_CHARACTERS:,} characters are read, quoted newlines included",
    )


def check_rows(place: str, rows: int) -> None:
    """Refuse a table of more rows than are read.

    Raises:
        DataError: MP110.
    """
    if rows > MAX_ROWS:
        raise DataError(
            "the data has too many rows",
            got=f"{place}: more than {MAX_ROWS:,}",
            fix=f"give a sample of at most {MAX_ROWS:,} rows",
        )


def check_size(place: str | Path, size: int) -> None:
    """Refuse more bytes than are read.

    Raises:
        DataError: MP110.
    """
    if size > MAX_DATA_BYTES:
        raise DataError(
            "the data is too large",
            got=f"{place}: {size:,} bytes or more",
            fix=f"give a sample of at most {MAX_DATA_BYTES:,} bytes",
        )


def read_characters(file: Path, encoding: str = UTF_8) -> str:
    """The text of a file, without a byte order mark, any newline as ``\\n``.

    Raises:
        DataError: MP110, for what cannot be read, is too large, is not in ``encoding``, or binary.
    """
    return "".join(iterate_characters(file, encoding))


def _read_piece(file: Path, stream: io.BufferedReader) -> bytes:
    try:
        return stream.read(_PIECE_BYTES)
    except OSError as error:
        raise unreadable(file, error) from None


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 of texts and their boundaries, hexadecimal.

    Raises:
        DataError: MP110, for half a surrogate pair, which JSON can hold and no text can.
    """
    digest = hashlib.sha256()
    for number, text in enumerate(texts, 1):
        try:
            encoded = text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                "a text holds half a surrogate pair",
                got=f"text {number}, character {error.start}: \\u{ord(text[error.start]):04x}",
                fix="write the file again from valid Unicode text",
            ) from None
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
