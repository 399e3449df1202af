"""Bytes from file to file by the kernel: shared blocks where the file system can, memory that does not grow."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from milepost.errors import DataError

BLOCK_BYTES: Final = 4096
CHUNK_BYTES: Final = 1 << 20
"""Measured: 8 MiB cost three times the processor time, in pages that the allocator gives back and takes anew."""
_CANNOT: Final = {
    errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM, errno.EBADF, errno.ENOTSOCK,
    errno.ETXTBSY,
}  # fmt: skip

Step = Callable[[int, int, int, int, int], int]


def copy_range(source: int, begin: int, end: int, target: int, at: int) -> None:
    """Copy bytes ``begin`` to ``end`` of one open file to ``at`` in another.

    ``copy_file_range`` first, which shares blocks on XFS and btrfs; then ``sendfile``; then ``pread`` and ``pwrite``
    of 1 MiB. Where both places lie alike within their blocks, the ends are copied apart: file systems share whole
    blocks only, and copy everything where a range begins inside one.

    Args:
        source: file descriptor that is read.
        begin: first byte, in the source.
        end: the byte after the last.
        target: file descriptor that is written; other bytes of it are left as they are.
        at: where the first byte goes.

    Raises:
        DataError: MP110, when the source has become shorter. OSError: as the system says.
    """
    if begin % BLOCK_BYTES == at % BLOCK_BYTES:
        head = min(-begin % BLOCK_BYTES, end - begin)
        _copy((_by_hand,), source, begin, begin + head, target, at)
        begin, at = begin + head, at + head
    _copy((_in_kernel, _by_sendfile, _by_hand), source, begin, end, target, at)


def _copy(steps: tuple[Step, ...], source: int, begin: int, end: int, target: int, at: int) -> None:
    for step in steps:
        while begin < end:
            try:
                done = step(source, begin, end - begin, target, at)
            except OSError as error:
                if error.errno in _CANNOT and step is not steps[-1]:
                    break
                raise
            if done == 0:  # the end of the file, or a file system that cannot; the last step decides
                break
            begin, at = begin + done, at + done
    if begin < end:
        raise DataError(
            "a file became shorter while it was copied",
            got=f"{end - begin} bytes are missing",
            fix="wait until the model is complete, then run again",
        )


def _in_kernel(source: int, begin: int, count: int, target: int, at: int) -> int:
    if not hasattr(os, "copy_file_range"):
        raise OSError(errno.ENOSYS, "no copy_file_range")
    return os.copy_file_range(source, target, min(count, 1 << 30), begin, at)


def _by_sendfile(source: int, begin: int, count: int, target: int, at: int) -> int:
    if not hasattr(os, "sendfile"):
        raise OSError(errno.ENOSYS, "no sendfile")
    os.lseek(target, at, os.SEEK_SET)
    return os.sendfile(target, source, begin, min(count, 1 << 30))


def _by_hand(source: int, begin: int, count: int, target: int, at: int) -> int:
    os.lseek(source, begin, os.SEEK_SET)  # Windows has neither pread nor pwrite
    chunk = os.read(source, min(count, CHUNK_BYTES))
    write_at(target, chunk, at)
    return len(chunk)


def write_at(target: int, content: bytes, at: int) -> None:
    """Write all of ``content`` from byte ``at`` on."""
    os.lseek(target, at, os.SEEK_SET)
    left = memoryview(content)
    while left:
        left = left[os.write(target, left) :]
