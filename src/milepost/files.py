"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from milepost.errors import DiskFull, FolderError


@contextlib.contextmanager
def durable(path: Path, *, keep_mode: bool = False) -> Iterator[Path]:
    """A path beside ``path`` to write to; on success it is synced and renamed to ``path``, else removed.

    Args:
        path: the file; its folder is made.
        keep_mode: give it the permissions of the file that it replaces, instead of those of a new file.

    Raises:
        FolderError: MP107, when the place cannot be written; DiskFull: MP108, when it has no room. What was
            there is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            beside.chmod(stat.S_IMODE(path.stat().st_mode) if keep_mode else 0o666 & ~_umask())
            sync(beside)
            beside.replace(path)
            sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable("a file", path, error) from error


def unwritable(what: str, path: Path, error: OSError) -> FolderError:
    """The error for a file or folder that the system does not let us write."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    kind, fix = (
        (DiskFull, "free some space, then run the same command again")
        if full
        else (FolderError, "check the disk and the folder's permissions")
    )
    return kind(f"{what} cannot be written", got=f"{str(path)!a}: {error.strerror or error}", fix=fix)


def _umask() -> int:
    # reading the mask means setting it; done at once, in a process with no other threads that make files
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
