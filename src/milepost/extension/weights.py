"""One weights file written anew: some tensors replaced, all others the same bytes in the same order."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from milepost.errors import DataError, UnsafeFile
from milepost.extension.copying import BLOCK_BYTES, CHUNK_BYTES, copy_range, write_at
from milepost.tables import MAX_HEADER_BYTES, Header, TensorEntry, read_header


@dataclass(frozen=True)
class Fresh:
    """What a tensor becomes: its shape, how many bytes, and what gives them, chunk by chunk, as often as asked."""

    shape: tuple[int, ...]
    size_bytes: int
    chunks: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, shape: tuple[int, ...], content: bytes) -> Fresh:
        """Content that is in memory."""
        return cls(shape, len(content), lambda: (content,))


@dataclass(frozen=True)
class Rewrite:
    """A weights file and the tensors to replace in it.

    Attributes:
        header: of the source, as read.
        fresh: what each replaced tensor becomes; the others are kept.
        head: the first bytes of the new file, header and all, padded so that the data begins at the same place within
            a block as in the source: there a file system can share the blocks of what is kept.
        entries: where each tensor will lie, in the order of the header.
        size_bytes: of the new file.
    """

    header: Header
    fresh: Mapping[str, Fresh]
    head: bytes
    entries: Mapping[str, TensorEntry]
    size_bytes: int

    def kept(self) -> list[str]:
        """Keys of the tensors that stay, by place."""
        return sorted(self.header.entries.keys() - self.fresh.keys(), key=lambda key: self.entries[key].begin)


def plan_rewrite(header: Header, fresh: Mapping[str, Fresh]) -> Rewrite:
    """Lay out a weights file with tensors replaced; order of names and of data, and metadata, stay as they are.

    Raises:
        UnsafeFile: MP130, when the new header would be longer than any reader takes.
    """
    relative: dict[str, tuple[int, int]] = {}
    at = 0
    for key, entry in sorted(header.entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        size = fresh[key].size_bytes if key in fresh else entry.end - entry.begin
        relative[key] = at, at + size
        at += size
    document: dict[str, Any] = {"__metadata__": dict(header.metadata)} if header.metadata else {}
    for key, entry in header.entries.items():
        shape = fresh[key].shape if key in fresh else entry.shape
        document[key] = {"dtype": entry.dtype, "shape": list(shape), "data_offsets": list(relative[key])}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * ((header.data_start - 8 - len(text)) % BLOCK_BYTES)
    if len(text) > MAX_HEADER_BYTES:
        raise UnsafeFile(
            "the new header would be too long",
            got=f"{len(text)} bytes",
            fix=f"at most {MAX_HEADER_BYTES}: give the metadata less text",
        )
    start = 8 + len(text)
    entries = {
        key: replace(
            entry,
            shape=fresh[key].shape if key in fresh else entry.shape,
            begin=start + relative[key][0],
            end=start + relative[key][1],
        )
        for key, entry in header.entries.items()
    }
    return Rewrite(header, fresh, len(text).to_bytes(8, "little") + text, entries, start + at)


def write_rewrite(rewrite: Rewrite, source: int, target: int) -> None:
    """Write the file into ``target``, an empty open file; ``source`` is the old one. Kept tensors go through the kernel.

    Raises:
        DataError: MP110, when the source has become shorter. OSError: as the system says.
    """
    write_at(target, rewrite.head, 0)
    for begin, end, at in _kept_ranges(rewrite):
        copy_range(source, begin, end, target, at)
    for key, fresh in rewrite.fresh.items():
        at = rewrite.entries[key].begin
        for chunk in fresh.chunks():
            write_at(target, chunk, at)
            at += len(chunk)
        assert at == rewrite.entries[key].end


def _kept_ranges(rewrite: Rewrite) -> Iterator[tuple[int, int, int]]:
    """Begin and end in the source and begin in the target of each run of kept tensors."""
    run: tuple[int, int, int] | None = None
    for key in rewrite.kept():
        old, at = rewrite.header.entries[key], rewrite.entries[key].begin
        if old.begin == old.end:
            continue
        if run is not None and (run[1], run[2] + run[1] - run[0]) == (old.begin, at):
            run = run[0], old.end, run[2]
            continue
        if run is not None:
            yield run
        run = old.begin, old.end, at
    if run is not None:
        yield run


def check_rewrite(rewrite: Rewrite, target: int, name: str) -> None:
    """Read the header and the replaced tensors of the written file again, and compare them with the plan.

    Raises:
        UnsafeFile: MP130, when the file is not what was planned: the disk does not keep what it is given.
    """

    def read(begin: int, end: int) -> bytes:
        return b"".join(read_chunks(target, begin, end))

    header = read_header(read, os.fstat(target).st_size, name)
    same = {
        key: replace(entry, file=name) for key, entry in rewrite.entries.items()
    } == header.entries and header.metadata == rewrite.header.metadata
    for key, fresh in rewrite.fresh.items():
        at = rewrite.entries[key].begin
        for chunk in fresh.chunks():
            same = same and read(at, at + len(chunk)) == chunk
            at += len(chunk)
    if not same:
        raise UnsafeFile(
            f"{name!r} was not written as planned", got="other bytes than were written", fix="check the disk"
        )


def digest(descriptor: int, begin: int, end: int) -> bytes:
    """SHA-256 of a range of an open file; memory does not grow with it."""
    found = hashlib.sha256()
    for chunk in read_chunks(descriptor, begin, end):
        found.update(chunk)
    return found.digest()


def read_chunks(descriptor: int, begin: int, end: int) -> Iterator[bytes]:
    """The bytes of a range of an open file, at most 1 MiB at a time.

    Raises:
        DataError: MP110, when the file ends before.
    """
    while begin < end:
        os.lseek(descriptor, begin, os.SEEK_SET)
        chunk = os.read(descriptor, min(end - begin, CHUNK_BYTES))
        if not chunk:
            raise DataError(
                "a file became shorter while it was read", got=f"{end - begin} bytes missing", fix="run again"
            )
        yield chunk
        begin += len(chunk)
