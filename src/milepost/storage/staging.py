"""A folder that appears whole or not at all: made beside its place, flushed to disk, renamed once."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from milepost.errors import FolderError
from milepost.storage.files import unwritable

_LEFTOVER = re.compile(r"\..*\.(\d+)\.[0-9a-f]{8}\.milepost-tmp", re.DOTALL)


def temporary_beside(output: Path) -> Path:
    """The name of the folder that becomes ``output``; it says which process makes it."""
    return output.parent / f".{output.name[:120]}.{os.getpid()}.{secrets.token_hex(4)}.milepost-tmp"


@contextlib.contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A new folder beside ``output``; on success it is flushed and renamed to ``output``, else removed.

    A process that is killed leaves a folder that the next run in the same place removes.

    Raises:
        FolderError: MP107, when the place cannot be written, or ``output`` has come to be meanwhile.
        DiskFull: MP108.
    """
    try:
        with scratch(output) as beside:
            yield beside
            flush_folders(beside)
            if os.path.lexists(output):
                raise FolderError(
                    "the output came to be during the run",
                    got=ascii(str(output)),
                    fix="give another --out DIR",
                )
            beside.rename(output)
            _flush(output.parent)
    except OSError as error:
        if isinstance(error, FolderError):
            raise
        raise unwritable("the output", output, error) from error


@contextlib.contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """A hidden folder beside ``output`` that is removed at the end; what dead processes have left there goes first."""
    output.parent.mkdir(parents=True, exist_ok=True)
    sweep(output.parent)
    beside = temporary_beside(output)
    beside.mkdir()
    lock = _lock(beside)
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep(folder: Path) -> None:
    """Remove what runs that were killed have left in ``folder``; what a living process works on stays."""
    for path in folder.glob(".*.milepost-tmp"):
        found = _LEFTOVER.fullmatch(path.name)
        if found is None or path.is_symlink() or not path.is_dir() or not _is_dead(int(found[1])):
            continue
        with contextlib.suppress(OSError):
            lock = _lock(path)  # in another container the number may be that of a living process
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def flush_folders(root: Path) -> None:
    """Flush the folders below ``root`` and itself, so that the names in them last."""
    for folder, _, _ in os.walk(root, topdown=False):
        _flush(Path(folder))


def _is_dead(process: int) -> bool:
    if os.name == "nt":
        return False  # asking there would end the process
    if process == os.getpid():
        return True  # an earlier process of the same number; a folder of this one is locked
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _lock(folder: Path) -> int | None:
    """An open folder that nobody else may lock; None where somebody has, or where folders cannot be locked."""
    if os.name == "nt":
        return None
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _flush(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
