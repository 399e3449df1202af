"""What a sweep and its workers tell each other: orders and replies, one line of JSON each."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from milepost.comparison.plan import Job
from milepost.comparison.workers.running import Running
from milepost.errors import DiskFull, FolderError, MilepostError
from milepost.plugins import place_of

Kind = Literal["ready", "step", "note", "held", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class Order:
    """A job, and all that a worker needs to know to do it.

    Args:
        job: what is to do.
        folder: the run folder.
        running: where and how trials run.
        wait: whether to wait a little if another call holds the trial.
    """

    job: Job
    folder: Path
    running: Running
    wait: bool = False

    def to_json(self) -> str:
        """One line that :meth:`from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str | bytes) -> Order:
        """Read what :meth:`to_json` wrote."""
        content = json.loads(text)
        job, running = Job.from_content(content["job"]), Running.from_content(content["running"])
        return cls(job, Path(content["folder"]), running, content["wait"])


@dataclass(frozen=True)
class Stop:
    """An error that ends the whole sweep, on its way to the process that began it."""

    code: str
    problem: str
    got: str
    fix: str

    @classmethod
    def of(cls, error: FolderError) -> Stop:
        """Pack an error."""
        return cls(error.code, error.problem, error.got, error.fix)

    def error(self) -> FolderError:
        """The error that was packed."""
        kind = DiskFull if self.code == DiskFull.code else FolderError
        return kind(self.problem, got=self.got, fix=self.fix)


@dataclass(frozen=True)
class Reply:
    """What a worker says: it is ready, how far its order is, or how the order ended.

    Args:
        kind: ``ready``, ``step`` and ``note`` come on the way; the others end an order. ``held``: another call is
            at work on the trial.
        steps: that are done.
        note: something that the user should know, in a sentence.
        reason: why the trial failed.
        stop: the error that must end the sweep.
    """

    kind: Kind
    steps: int = 0
    note: str | None = None
    reason: str | None = None
    stop: Stop | None = None

    def to_json(self) -> str:
        """One line that :meth:`from_json` reads back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Reply:
        """Read what :meth:`to_json` wrote."""
        content = json.loads(text)
        stop = content.pop("stop")
        return cls(**content, stop=stop and Stop(**stop))


def reason_of(error: Exception) -> str:
    """Why a trial failed, in one line.

    >>> reason_of(MemoryError("too much"))
    'MemoryError: too much'
    """
    if isinstance(error, MilepostError):
        return f"{error.problem} ({error.got})"
    place = place_of(error)
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")
