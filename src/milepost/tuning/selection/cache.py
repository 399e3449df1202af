"""What was measured of candidates, kept in a folder: a choice that was interrupted goes on with the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from milepost import __version__
from milepost.errors import FolderError
from milepost.plugins import Code
from milepost.storage.files import durable, unwritable
from milepost.tuning.selection.evaluation import Outcome, Reading


class TimedOutcome(NamedTuple):
    """What one candidate gave, and how long it took."""

    outcome: Outcome
    seconds: float


class Cache:
    """One small JSON file a candidate, named by the hash of all that its numbers depend on.

    That is: versions, device, documents, seed, lengths, table, method and its code, every weight, and the bits that the model gives as it is,
    which differ with the number of threads. Each file appears whole, flushed to disk; one that is not what was written counts
    as absent.

    Args:
        folder: where; None keeps nothing.
        reading: the documents and the questions.
        baseline: what the model gives as it is.
        to: usable positions wanted.
        tensor: key of the table, where one was named.
        code: what defines methods that are not Milepost's own.
    """

    def __init__(
        self,
        folder: Path | None,
        reading: Reading,
        baseline: Outcome,
        *,
        to: int,
        tensor: str | None,
        code: Sequence[Code],
    ) -> None:
        self._folder = folder
        if folder is None:
            return
        import torch
        import transformers

        from milepost.tuning.training.checkpoint import digest

        subject = reading.subject
        facts = {
            "versions": [__version__, torch.__version__, transformers.__version__, np.__version__],
            "subject": [subject.kind, subject.pooling, subject.length, str(subject.device)],
            "drawn": [[text.index, text.tokens.tolist()] for text in reading.texts],
            "asked": [reading.seed, to, tensor],
            "baseline": _write(baseline),
            "code": [[one.name, one.sha256] for one in code],
        }
        self._key = digest(json.dumps(facts), subject.model.state_dict())

    def read(self, method: str) -> TimedOutcome | None:
        """What was kept of a method, or None."""
        if self._folder is None:
            return None
        try:
            kept = json.loads(self._path(method).read_text(encoding="utf-8"))
            body = kept["body"]
            if kept["sha256"] != hashlib.sha256(body.encode()).hexdigest():
                return None
            found = json.loads(body)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        values = {name: np.array(numbers) for name, numbers in found["values"].items()}
        outcome = Outcome(values, np.array(found["positions"]), np.array(found["scores"]))
        return TimedOutcome(outcome, found["seconds"])

    def write(self, method: str, measured: TimedOutcome) -> None:
        """Keep what a method gave.

        Raises:
            FolderError: MP107, where it cannot be written. DiskFull: MP108.
        """
        if self._folder is None:
            return
        body = json.dumps({"method": method, "seconds": measured.seconds, **_write(measured.outcome)})
        kept = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}
        with durable(self._path(method)) as beside:
            beside.write_text(json.dumps(kept), encoding="utf-8")

    def _path(self, method: str) -> Path:
        assert self._folder is not None
        key = hashlib.sha256(f"{self._key} {method}".encode()).hexdigest()
        return self._folder / f"{key[:32]}.json"


def make_folder(folder: Path) -> None:
    """Make the folder of a cache.

    Raises:
        FolderError: MP107.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FolderError(
            "the cache is a folder", got=f"{str(folder)!a}: a file", fix="give another: --cache DIR"
        ) from None
    except OSError as error:
        raise unwritable("the cache", folder, error) from error


def _write(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON has it; numbers come back bit for bit."""
    return {
        "values": {name: values.tolist() for name, values in outcome.values.items()},
        "positions": outcome.positions.tolist(),
        "scores": outcome.scores.tolist(),
    }
