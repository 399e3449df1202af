"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from milepost.errors import FolderError


@contextlib.contextmanager
def durable(path: Path, *, keep_mode: bool = False) -> Iterator[Path]:
    """A path beside ``path`` to write to; on success it is synced and renamed to ``path``, else removed.

    Args:
        path: the file; its folder is made.
        keep_mode: give it the permissions of the file that it replaces, instead of those of a new file.

    Raises:
        FolderError: MP107, when the place cannot be written; what was there is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            beside.chmod(stat.S_IMODE(path.stat().st_mode) if keep_mode else 0o666 & ~_umask())
            _sync(beside)
            beside.replace(path)
            _sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise FolderError(
            "a file cannot be written",
            got=f"{path}: {error.strerror or error}",
            fix="check the disk and the folder's permissions",
        ) from error


def _umask() -> int:
    # reading the mask means setting it; done at once, in a process with no other threads that make files
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
