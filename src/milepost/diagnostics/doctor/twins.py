"""Copies of the weights in other formats, and whether they hold the same position table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from milepost.diagnostics.doctor.folder import Twin
from milepost.tables import COPY_FOLDERS, Checkpoint, Folder, HubModel, is_copy

MAX_BYTES: Final = 1 << 30
_CHUNK: Final = 1 << 24


def find_twins(source: Folder | HubModel, checkpoint: Checkpoint) -> tuple[Twin, ...]:
    """Name the copies, and look for the table's bytes in those that are on disk and not too large.

    Nothing is parsed or unpickled: an uncompressed copy in the same precision holds the table as it stands.
    """
    used = {entry.file for entry in checkpoint.tensors.values()}
    if checkpoint.kind == "hub":
        names = [name for name in source.names if _is_twin(name)]
        return tuple(Twin(name) for name in names if name not in used)
    assert isinstance(source, Folder)
    found = [
        Twin(name, _compare(source, name, checkpoint))
        for name in source.names
        if _is_twin(name) and name not in used
    ]
    for below in COPY_FOLDERS:
        path = source.path / below
        if path.is_dir() and path.resolve().is_relative_to(source.path):
            with Folder(path) as inner:
                found += [
                    Twin(f"{below}/{name}", _compare(inner, name, checkpoint))
                    for name in inner.names
                    if _is_twin(name)
                ]
    return tuple(found)


def _is_twin(name: str) -> bool:
    folder, _, base = name.rpartition("/")
    return folder in ("", *COPY_FOLDERS) and is_copy(base)


def _compare(folder: Folder, name: str, checkpoint: Checkpoint) -> str:
    if not folder.holds(name) or not Path(folder.path / name).is_file() or folder.size(name) > MAX_BYTES:
        return "unread"
    verdict = "unread"
    for table in checkpoint.tables:
        stored = np.ascontiguousarray(table.rows, dtype="<f4")
        row = stored[table.first_row].tobytes()
        # rows of zeros or of one value would be found in any file
        if table.dtype != "F32" or len(set(row)) < 8:
            continue
        at = _find(folder, name, row)
        if at is None:
            continue
        rest = stored[table.first_row :].tobytes()
        end = at + len(rest)
        if end > folder.size(name) or folder.read(name, at, end) != rest:
            return "other"
        verdict = "same"
    return verdict


def _find(folder: Folder, name: str, wanted: bytes) -> int | None:
    """Where ``wanted`` first stands in the file."""
    size, kept, at = folder.size(name), b"", 0
    while at < size:
        chunk = kept + folder.read(name, at, min(at + _CHUNK, size))
        place = chunk.find(wanted)
        if place >= 0:
            return at - len(kept) + place
        at, kept = at + len(chunk) - len(kept), chunk[-len(wanted) :]
    return None
