"""The journal of a run folder: what happened to its trials, a line each, only ever appended to."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from milepost.storage.files import sync, unwritable
from milepost.storage.lock import locked
from milepost.storage.records import read_file

_TAIL_BYTES = 1 << 16  # longer than any line
_REASON_CHARACTERS = 2_000
_BAD_ENDS = ("failed", "diverged")


@dataclass(frozen=True)
class Past:
    """What the journal knows of a trial.

    Args:
        failures: how often it failed or diverged.
        reason: why it failed, where that is the last that is known of it.
        finished: whether its end is the last that is known of it.
    """

    failures: int = 0
    reason: str | None = None
    finished: bool = False


@dataclass(frozen=True)
class History:
    """A journal that was read.

    Args:
        entries: its whole lines, in their order.
        remarks: what had to be passed over, a sentence each.
    """

    entries: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...] = ()
    _pasts: dict[str | None, Past] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pasts", _fold(self.entries))

    def past(self, trial: str) -> Past:
        """What is known of the trial of a key."""
        return self._pasts.get(trial, Past())


class Journal:
    """Events as JSON lines, each with the check sum of the rest of its line.

    Several processes may append at once. A line that a dying process, or a full disk, left unfinished is cut off
    by whoever writes next, which the journal then says.

    Args:
        path: the file; it need not exist.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = Journal(Path(folder, "journal.jsonl"))
    ...     journal.append("failed", "4b1d", reason="no memory")
    ...     journal.read().past("4b1d")
    Past(failures=1, reason='no memory', finished=False)
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, trial: str | None = None, **facts: Any) -> None:
        """Add a line and flush it to the disk.

        Raises:
            FolderError: MP107. DiskFull: MP108; the journal is then as it was.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"time": now, "event": event, "trial": trial, **facts}
        if "reason" in entry:
            entry["reason"] = str(entry["reason"])[:_REASON_CHARACTERS]
        with locked(self.path) as handle:
            assert handle is not None
            try:
                torn = _cut_tail(handle)
                if torn:
                    _write(handle, _line({"time": now, "event": "torn", "trial": None, "bytes": torn}))
                _write(handle, _line(entry))
                os.fsync(handle)
                sync(self.path.parent)
            except OSError as error:
                raise unwritable("the journal", self.path, error) from error

    def read(self) -> History:
        """All whole lines; damaged ones and a torn tail are remarks, never errors.

        Raises:
            FolderError: MP107, there is something else than a file in its place.
        """
        try:
            content = read_file(self.path)
        except FileNotFoundError:
            return History(())
        *lines, tail = content.split(b"\n")
        entries, remarks = [], []
        for number, line in enumerate(lines, 1):
            entry = _parse(line)
            if entry is None:
                remarks.append(f"{self.path}: line {number} is damaged and was skipped")
            else:
                entries.append(entry)
        if tail:
            remarks.append(f"{self.path}: its last line was not finished and was dropped")
        return History(tuple(entries), tuple(remarks))


def _fold(entries: Iterable[dict[str, Any]]) -> dict[str | None, Past]:
    pasts: dict[str | None, Past] = {}
    for entry in entries:
        before = pasts.get(entry.get("trial"), Past())
        if entry["event"] in _BAD_ENDS:
            # of a trial that diverged, its record knows
            reason = str(entry.get("reason")) if entry["event"] == "failed" else None
            pasts[entry["trial"]] = Past(before.failures + 1, reason)
        elif entry["event"] in ("begun", "resumed", "finished"):
            pasts[entry["trial"]] = Past(before.failures, finished=entry["event"] == "finished")
    return pasts


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps({**entry, "crc32": _checksum(entry)}).encode() + b"\n"


def _checksum(entry: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(entry, sort_keys=True).encode()):08x}"


def _parse(line: bytes) -> dict[str, Any] | None:
    """The entry of a line, or None where it is not what was written."""
    with contextlib.suppress(ValueError, RecursionError):
        entry = json.loads(line)
        if not isinstance(entry, dict) or entry.pop("crc32", None) != _checksum(entry):
            return None
        if isinstance(entry.get("event"), str) and isinstance(entry.get("trial"), str | None):
            return entry
    return None


def _cut_tail(handle: int) -> int:
    """Cut off what follows the last newline; returns how many bytes that were."""
    size = os.lseek(handle, 0, os.SEEK_END)
    begin = max(0, size - _TAIL_BYTES)
    os.lseek(handle, begin, os.SEEK_SET)
    torn = size - begin - (os.read(handle, _TAIL_BYTES).rfind(b"\n") + 1)
    if torn:
        os.ftruncate(handle, size - torn)
    return torn


def _write(handle: int, line: bytes) -> None:
    begin = os.lseek(handle, 0, os.SEEK_END)
    try:
        while line:
            line = line[os.write(handle, line) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, begin)
        raise
