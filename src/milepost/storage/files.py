"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from milepost.errors import DataError, DiskFull, FolderError, OptionError


@contextlib.contextmanager
def durable(path: Path, *, keep_mode: bool = False) -> Iterator[Path]:
    """A path next to ``path`` to write to; on success it is synced and renamed to ``path``, else removed.

    Args:
        path: a regular file or nothing; its folder is made.
        keep_mode: give it the permissions of the file that it replaces, instead of those of a new file.

    Raises:
        FolderError: MP107, when the place cannot be written, or holds something other than a regular file;
            DiskFull: MP108, when it has no room. What was there is as it was.
    """
    try:
        refuse_irregular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            beside.chmod(stat.S_IMODE(path.stat().st_mode) if keep_mode else 0o666 & ~_umask())
            sync(beside)
            refuse_irregular(path)  # it may have been made meanwhile
            beside.replace(path)
            sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable("a file", path, error) from error


def refuse_irregular(path: Path) -> None:
    """Refuse to replace anything but a regular file: a rename would remove a device, a pipe or a link.

    Raises:
        FolderError: MP107. OSError: when the system does not let us look.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
        raise FolderError(
            "only a regular file can be replaced",
            got=f"{str(path)[:300]!a} is {kind}",
            fix="give the path of a new file",
        )


_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_output(path: Path, *, begins: bytes) -> None:
    """Refuse, before any work, a path at which a report cannot be written or would replace something else.

    Args:
        path: where the report will be written.
        begins: how a report of this kind begins; a file that begins otherwise and is not empty is kept.

    Raises:
        FolderError: MP107.
    """
    try:
        refuse_irregular(path)
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not path.exists():
            return
        with path.open("rb") as file:
            start = file.read(len(begins))
    except OSError as error:
        raise unwritable("a file", path, error) from error
    if start and start.lower() != begins.lower():
        raise FolderError(
            "a file of another kind is not replaced",
            got=f"{str(path)[:300]!a} does not begin like the file that would replace it",
            fix="give the path of a new file, or remove this one",
        )


def open_regular(file: Path) -> io.BufferedReader:
    """Open a file for reading, and nothing else: a pipe would wait for a writer, a device may never end.

    Raises:
        DataError: MP110, when it cannot be opened or is not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    except OSError as error:
        raise unreadable(file, error) from None
    raise DataError(
        "this is not a regular file",
        got=f"{file}: a directory, a pipe or a device",
        fix="give a file, or remove it from the folder",
    )


def unreadable(file: Path, error: OSError) -> DataError:
    """The error for a file that the system does not let us read."""
    return DataError(
        "a file cannot be read", got=f"{file}: {error.strerror}", fix="check the file and its permissions"
    )


def expand(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` and ``~user`` replaced by home folders.

    Raises:
        OptionError: MP105, when there is no such user or home folder.

    >>> expand("texts/a.txt").as_posix()
    'texts/a.txt'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise OptionError(
            "the home folder in this path is unknown",
            got=f"{os.fspath(path)[:300]!a}",
            fix="write the whole path; ./~name is a file of that name here",
        ) from None


def unwritable(what: str, path: Path, error: OSError) -> FolderError:
    """The error for a file or folder that the system does not let us write."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    kind, fix = (
        (DiskFull, "free some space, then run the same command again")
        if full
        else (FolderError, "check the disk and the folder's permissions")
    )
    return kind(f"{what} cannot be written", got=f"{str(path)[:300]!a}: {error.strerror or error}", fix=fix)


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
