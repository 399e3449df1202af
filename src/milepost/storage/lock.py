"""A lock on a file that the kernel frees when its holder ends, however that ends."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from milepost.errors import FolderError
from milepost.storage.files import unwritable

_PAUSE_SECONDS = 0.05  # between two looks at a lock that somebody holds


@contextlib.contextmanager
def locked(path: Path, *, patience_seconds: float = math.inf) -> Iterator[int | None]:
    """A file, open to be read and written, that no other process has locked; made where it is missing.

    Processes that die release it. Over NFS it holds between machines where the mount has locks, which is
    the default of NFS 4.

    Args:
        path: the file; its folder is made.
        patience_seconds: how long to wait for another holder.

    Yields:
        The descriptor, or None, when another holder was there all the time.

    Raises:
        FolderError: MP107, when the place cannot be written or its file system has no locks. DiskFull: MP108.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder, "lock")) as first:
    ...     with locked(Path(folder, "lock"), patience_seconds=0) as second:
    ...         first is None, second is None
    (False, True)
    """
    end = time.monotonic() + patience_seconds
    while True:
        handle = _open(path)
        try:
            taken = _take(path, handle)
            if taken and _is_at(path, handle):
                yield handle
                return
            if not taken and time.monotonic() >= end:
                yield None
                return
        finally:
            os.close(handle)
        if not taken:
            time.sleep(_PAUSE_SECONDS)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise unwritable("a lock", path, error) from error


def _take(path: Path, handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 1 << 40, os.SEEK_SET)  # locked bytes cannot be read by others: none that exists
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise FolderError(
            "this file system cannot lock files, so two calls could train one trial at once",
            got=f"{path}: {error.strerror}",
            fix="give a folder on another file system: --out DIR",
        ) from error
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Whether a file that was locked is still the one of that name: it may have been removed meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False
