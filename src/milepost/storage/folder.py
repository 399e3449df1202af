"""Files of a local model: opened read-only, by name, never outside their folder, never mapped into memory."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, Self

from milepost.errors import DataError, UnsafeFile

MAX_JSON_BYTES: Final = 50_000_000
MAX_JSON_VALUES: Final = 1_500_000
"""Lists and objects in one document: each takes eighty bytes of memory for as few as three in the file."""


def check_name(name: str) -> None:
    """Refuse a file name that is not plainly the name of a file in one folder, on any system.

    Raises:
        UnsafeFile: MP130, for separators, drives, streams, dots and control characters.

    >>> check_name("model-00001-of-00002.safetensors")
    """
    plain = name == PurePosixPath(name).name == PureWindowsPath(name).name
    if not plain or name in ("", ".", "..") or ":" in name or not name.isprintable() or len(name) > 255:
        raise UnsafeFile(
            "a file name leaves the model's folder", got=ascii(name[:80]), fix="do not use this model"
        )


class Folder:
    """A folder of files that are read by name; use it as a context manager.

    Links are followed within the folder, and from a snapshot of a Hub cache into that model's own ``blobs``.

    Args:
        path: the folder; only its own files are read, none in folders below it.

    Raises:
        DataError: MP110, when there is no such folder.
    """

    kind = "folder"
    commit: str | None = None

    def __init__(self, path: Path) -> None:
        try:
            self.path = path.resolve(strict=True)
            self.names = tuple(sorted(file.name for file in self.path.iterdir() if not file.is_dir()))
        except (OSError, RuntimeError) as error:
            raise DataError(
                "the folder cannot be read", got=_reason(error), fix="check the path and its permissions"
            ) from None
        self._roots = [self.path, *_blobs_of(self.path)]
        self._open: dict[str, tuple[int, os.stat_result]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor, _seen in self._open.values():
            os.close(descriptor)
        self._open.clear()

    @property
    def folder(self) -> str | None:
        """The folder's own path, links resolved."""
        return str(self.path)

    def holds(self, name: str) -> bool:
        """Whether the file is in the folder, or a link that may be followed."""
        return any((self.path / name).resolve().is_relative_to(root) for root in self._roots)

    def path_of(self, name: str) -> Path:
        """Where the file is, links resolved.

        Raises:
            UnsafeFile: MP130, for a link out of the folder. DataError: MP110, when it does not exist.
        """
        check_name(name)
        return self._real(name)

    def size(self, name: str) -> int:
        """Bytes in the file when it was opened.

        Raises:
            UnsafeFile: MP130, for a link out of the folder or anything but a plain file.
            DataError: MP110, when it cannot be opened.
        """
        return self._opened(name)[1].st_size

    def read(self, name: str, begin: int, end: int) -> bytes:
        """The bytes from ``begin`` to ``end``, all of them.

        Raises:
            DataError: MP110, when the file has become shorter or another meanwhile.
        """
        descriptor, seen = self._opened(name)
        got = bytearray()
        while len(got) < end - begin:
            try:
                os.lseek(descriptor, begin + len(got), os.SEEK_SET)  # Windows has no pread
                chunk = os.read(descriptor, min(end - begin - len(got), 1 << 26))
            except OSError as error:
                raise _unreadable(name, error) from None
            if not chunk:
                break
            got += chunk
        now = os.fstat(descriptor)
        if len(got) < end - begin or (now.st_size, now.st_mtime_ns) != (seen.st_size, seen.st_mtime_ns):
            raise DataError(
                f"{name!r} changed while it was read",
                got=f"{len(got)} of {end - begin} bytes; it had {seen.st_size} bytes and has {now.st_size}",
                fix="wait until the file is complete, then run again",
            )
        return bytes(got)

    def read_json(self, name: str) -> dict[str, Any]:
        """One JSON object, at most 50 MB.

        Raises:
            UnsafeFile: MP130, when it is too large, no JSON object, or has a name twice.
        """
        size = self.size(name)
        if size > MAX_JSON_BYTES:
            raise UnsafeFile(f"{name!r} is too large", got=f"{size} bytes", fix=f"at most {MAX_JSON_BYTES}")
        return parse_json(self.read(name, 0, size), name)

    def _opened(self, name: str) -> tuple[int, os.stat_result]:
        if name not in self._open:
            real = self.path_of(name)
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            try:
                # opening a pipe would wait for a writer, so what is no plain file is not opened at all
                if not stat.S_ISREG(os.lstat(real).st_mode):
                    raise UnsafeFile(
                        f"{name!r} is no plain file", got="a device, pipe or folder", fix="remove it"
                    )
                descriptor = os.open(real, flags | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                raise _unreadable(name, error) from None
            seen = os.fstat(descriptor)
            self._open[name] = descriptor, seen
        return self._open[name]

    def _real(self, name: str) -> Path:
        try:
            real = (self.path / name).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise _unreadable(name, error) from None
        if not any(real.is_relative_to(root) for root in self._roots):
            raise UnsafeFile(
                f"{name!r} is a link out of the model's folder",
                got=ascii(str(real)[:200]),
                fix="copy the file into the folder",
            )
        return real


def parse_json(raw: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object of a model's folder; a name that stands twice is refused.

    Raises:
        UnsafeFile: MP130, with the file's name.

    >>> parse_json(b'{"model_type": "bert"}', "config.json")
    {'model_type': 'bert'}
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            raise ValueError("a name stands twice in one object")
        return made

    try:
        if raw.count(b"[") + raw.count(b"{") > MAX_JSON_VALUES:
            raise ValueError("it holds too many lists")
        document = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=pairs)
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise UnsafeFile(f"{name!r} cannot be read", got=reason, fix="get the file again") from None
    return document


def _blobs_of(folder: Path) -> list[Path]:
    """The ``blobs`` beside the ``snapshots`` that hold this folder: the layout of a Hub cache."""
    for snapshots in folder.parents:
        model = snapshots.parent
        if snapshots.name == "snapshots" and model.name.startswith("models--"):
            return [model / "blobs"]
    return []


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(f"{name!r} cannot be read", got=_reason(error), fix="check that it exists and is yours")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
