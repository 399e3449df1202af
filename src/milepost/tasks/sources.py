"""Files of data: found in a folder, read as text, refused where they are not what they should be."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from milepost.errors import DataError, UnsafeFile
from milepost.files import expand


def find_files(source: str, suffixes: Collection[str], *, what: str = "text") -> list[Path]:
    """The files that ``source`` names: itself, or all of one format in a folder, at any depth.

    Files of a folder are taken in the order of their relative names; hidden ones, and those of other
    suffixes, are passed over. Links are followed only within the folder.

    Args:
        source: a file or a folder.
        suffixes: of the formats that can be read, lower case, with their dots.
        what: is looked for, as the error names it.

    Raises:
        DataError: MP110, nothing is there, nothing fits, or a folder holds several formats.
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
            raise DataError("this format cannot be read", got=source, fix=f"give files of {known}")
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in suffixes
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
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


def read_characters(file: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark, any newline as ``\\n``.

    Raises:
        DataError: MP110, for what cannot be read, is not UTF-8 or binary.
    """
    try:
        if not file.is_file():  # opening a pipe would wait for a writer
            raise DataError("this is no plain file", got=str(file), fix="give a file")
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "a file is not UTF-8 text",
            got=f"{file}: byte 0x{error.object[error.start]:02x} at offset {error.start}",
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
                fix="write the file anew from proper Unicode",
            ) from None
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
