"""The JSON files of run folders: written whole, sealed with a hash, and checked when they are read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from milepost.errors import FolderError
from milepost.storage.files import durable

DESIGN = "design.json"
_MOST_BYTES = 1 << 28
_SEAL = "sha256"
ELSEWHERE = "restore the file from a copy, or give another --out"


def read_file(path: Path, fix: str = ELSEWHERE) -> bytes:
    """Read a file of a run.

    Raises:
        FolderError: MP107, it cannot be read, is no regular file, or is larger than any that Milepost writes.
        FileNotFoundError: it is not there.
    """
    try:
        with _open(path, fix) as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _changed(path, error.strerror or str(error), fix) from error
    if len(content) > _MOST_BYTES:
        raise _changed(path, f"it is larger than {_MOST_BYTES:,} bytes", fix)
    return content


def read_json(path: Path, *fields: str, fix: str = ELSEWHERE) -> dict[str, Any]:
    """Read a JSON object that Milepost wrote and that has ``fields``.

    Raises:
        FolderError: MP107, the file is missing, or is no such object.
    """
    try:
        text = read_file(path, fix)
    except FileNotFoundError as error:
        raise _changed(path, "it is missing", fix) from error
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _changed(path, str(error)[:200], fix) from None
    if not isinstance(content, dict):
        raise _changed(path, "it is no JSON object", fix)
    if missing := sorted(set(fields) - content.keys()):
        raise _changed(path, f"it has no {missing[0]}", fix)
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object durably: into a temporary file, synced, renamed.

    Raises:
        FolderError: MP107. DiskFull: MP108.
    """
    with durable(path) as beside:
        beside.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")


def write_sealed(path: Path, bound: dict[str, Any], content: dict[str, Any]) -> None:
    """Write a record with what it is of (``bound``) and with the hash of all of it.

    Raises:
        FolderError: MP107. DiskFull: MP108.
    """
    whole = json.loads(json.dumps({**content, **bound}, allow_nan=False))
    write_json(path, {**whole, _SEAL: _hash(whole)})


def read_sealed(path: Path, bound: dict[str, Any], *fields: str, fix: str = ELSEWHERE) -> dict[str, Any]:
    """Read what :func:`write_sealed` wrote about just this.

    Raises:
        FolderError: MP107, the file was changed, or is the record of something else.
    """
    content = read_json(path, *fields, *bound, _SEAL, fix=fix)
    if content.pop(_SEAL) != _hash(content):
        raise _changed(path, "its content does not have the hash that it was written with", fix)
    for name, wanted in bound.items():
        if content[name] != wanted:
            raise _changed(path, f"it is of {name} {content[name]}, not {wanted}", fix)
    return content


def hash_file(path: Path, fix: str = ELSEWHERE) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        FolderError: MP107, it cannot be read, or is no regular file.
    """
    try:
        with _open(path, fix) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _changed(path, error.strerror or str(error), fix) from error


def check_design(
    folder: Path,
    wanted: Mapping[str, Any],
    *,
    leftovers: Collection[str] = (),
    hints: Mapping[str, str] | None = None,
) -> None:
    """Refuse an output folder that holds another design, or anything that is no run.

    Args:
        folder: it need not exist, and may be empty.
        wanted: the design of this run, plain JSON.
        leftovers: names of files that a run may leave before its design is written.
        hints: what helps in addition, by the beginning of the name of what differs.

    Raises:
        FolderError: MP107, with the differences.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FolderError("--out must be a directory", got=str(folder), fix="give another --out")
    if not (folder / DESIGN).exists():
        if any(file.name not in leftovers for file in folder.iterdir()):
            raise FolderError(
                "the output folder holds other things", got=str(folder), fix="give a new or empty folder"
            )
        return
    differences = compare_records(read_json(folder / DESIGN), wanted)
    if differences:
        helps = [hint for name, hint in (hints or {}).items() if any(d.startswith(name) for d in differences)]
        raise FolderError(
            "the output folder holds another design",
            got="; ".join(differences),
            fix=": ".join(["give another --out, or the options of that design", *helps]),
        )


def compare_records(held: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Differences of two nested records as ``name: held, now wanted``; a record that is missing is empty.

    >>> compare_records({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    ['b.c: 2 there, 3 here']
    """
    differences = []
    for name in sorted({*held, *wanted}):
        old, new = held.get(name), wanted.get(name)
        if (old or new) and isinstance(old, dict | None) and isinstance(new, dict | None):
            differences += compare_records(old or {}, new or {}, f"{prefix}{name}.")
        elif old != new:
            differences.append(f"{prefix}{name}: {old} there, {new} here")
    return differences


def key_of(content: Mapping[str, Any]) -> str:
    """A short name for plain JSON: 12 hexadecimal digits of its SHA-256.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    return _hash(content)[:12]


@contextlib.contextmanager
def _open(path: Path, fix: str) -> Iterator[io.BufferedReader]:
    """A regular file; a pipe would be waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _changed(path, "it is no regular file", fix)
    with os.fdopen(handle, "rb") as file:
        yield file


def _changed(path: Path, what: str, fix: str) -> FolderError:
    return FolderError(
        "a file of the run is not what was written", got=f"{str(path)[:300]!a}: {what}", fix=fix
    )


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
