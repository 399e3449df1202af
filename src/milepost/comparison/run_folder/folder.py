"""The run folder: one design, its trials by the hash of their specs, nothing half-written.

::

    DIR/
      design.json               the design; another design is refused
      environment.json          versions and threads under which its trials were trained
      journal.jsonl             what happened to its trials
      trials/<key>/             each record names its trial and carries the hash of what it says
        lock                    held by the process that works on the trial
        checkpoint-*            two at most, while it trains
        weights.safetensors     the trained weights
        trial.json              the record, written when training is done
        model/                  the same weights as a model folder, where models are kept
        length-<N>.json         metrics, curve and breakdown at one length
        validation-<N>.json     the same of the validation part, where settings are tuned
      result.json  report.html  made from the above by each call
      views/<hash>/             the same of calls that show less than the result above
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from milepost.comparison.design import Design, Trial
from milepost.comparison.run_folder.journal import Journal
from milepost.comparison.run_folder.views import PAGE, RESULT, VIEWS
from milepost.errors import FolderError
from milepost.storage.files import sync, unwritable
from milepost.storage.lock import locked
from milepost.storage.records import (
    DESIGN,
    check_design,
    compare_records,
    hash_file,
    read_json,
    read_sealed,
    write_json,
    write_sealed,
)
from milepost.tasks import Measured

AGAIN = "delete its folder; the trial is then trained again"
"""What helps where a file of a trial was changed."""
_ENVIRONMENT, _JOURNAL = "environment.json", "journal.jsonl"
_RECORD, _LOCK, _MODEL, _WEIGHTS = "trial.json", "lock", "model", "weights.safetensors"
_RECORDED = ("status", "scales", "usable_length", "picture", "weights_sha256")  # what readers rely on


class RunFolder:
    """Reads and writes one run folder; every file appears whole or not at all.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path / _JOURNAL)

    def check(self, design: Design) -> None:
        """Refuse a folder that holds another design, or anything that is no run.

        Raises:
            FolderError: MP107, with the differences.
        """
        check_design(
            self.path, design.identity(), leftovers=[_JOURNAL],
            hints={"imports.": "the same --import, with code that did not change"},
        )  # fmt: skip

    def check_environment(self, environment: dict[str, Any]) -> None:
        """Refuse to mix trials of two environments.

        Raises:
            FolderError: MP107, with the differences.
        """
        path = self.path / _ENVIRONMENT
        if path.exists():
            differences = compare_records(read_json(path), environment)
            if differences:
                raise FolderError(
                    "the trials here were trained under another environment",
                    got="; ".join(differences),
                    fix="go back to that environment, or start again with --restart",
                )

    def begin(self, design: Design, environment: dict[str, Any]) -> None:
        """Make the folder and record the design and the environment, where that is still to do.

        Raises:
            FolderError: MP107, another call has begun another design here, or in another environment.
        """
        with locked(self.journal.path):
            self.check(design)
            self.check_environment(environment)
            for name, content in ((DESIGN, design.identity()), (_ENVIRONMENT, environment)):
                if not (self.path / name).exists():
                    write_json(self.path / name, content)

    def restart(self) -> None:
        """Throw the trials of this design away, with the journal, the environment and all results.

        Raises:
            FolderError: MP107, another call works on a trial; all is then as it was.
        """
        with contextlib.ExitStack() as held:
            for place in (self.path / "trials").glob("*/"):
                if held.enter_context(locked(place / _LOCK, patience_seconds=0)) is None:
                    raise FolderError(
                        "another call works in this folder",
                        got=f"{place} is being worked on",
                        fix="wait for its end, or give another --out",
                    )
            for name in ("trials", VIEWS):
                shutil.rmtree(self.path / name, ignore_errors=True)
            for name in (_ENVIRONMENT, _JOURNAL, RESULT, PAGE):
                (self.path / name).unlink(missing_ok=True)

    def trial_path(self, trial: Trial) -> Path:
        """Folder of one trial."""
        return self.path / "trials" / trial.key()

    def model_path(self, trial: Trial) -> Path:
        """Where the model of a trial is kept, if it is."""
        return self.trial_path(trial) / _MODEL

    @contextlib.contextmanager
    def hold(self, trial: Trial, *, patience_seconds: float = math.inf) -> Iterator[bool]:
        """Keep other processes from working on a trial; False where one does all the time of the patience.

        What a process that died here has left half-written is removed.
        """
        place = self.trial_path(trial)
        if place.is_symlink():
            raise FolderError(
                "a trial's folder is a link",
                got=f"{str(place)[:300]!a}",
                fix="put the folder itself there, or remove the link: the trial is then trained again",
            )
        with locked(place / _LOCK, patience_seconds=patience_seconds) as handle:
            if handle is not None:
                try:
                    for part in (self.path, place.parent, place):
                        sync(part)
                    for leftover in place.glob(".*.tmp"):
                        leftover.unlink()
                except OSError as error:
                    raise unwritable("a trial's folder", place, error) from error
            yield handle is not None

    def forget(self, trial: Trial) -> None:
        """Remove all that a trial has left but its lock, which the caller holds."""
        for path in self.trial_path(trial).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def weights_path(self, trial: Trial) -> Path:
        """Where the trained weights of a trial are."""
        return self.trial_path(trial) / _WEIGHTS

    def check_weights(self, trial: Trial, record: dict[str, Any]) -> None:
        """Refuse weights that are not those of a trial's record; weights that were removed are nobody's.

        Raises:
            FolderError: MP107.
        """
        path = self.weights_path(trial)
        if path.exists() and hash_file(path, AGAIN) != record["weights_sha256"]:
            raise FolderError(
                "the weights of a finished trial are not those that were written",
                got=f"{str(path)[:300]!a}",
                fix=AGAIN,
            )

    def read_record(self, trial: Trial) -> dict[str, Any] | None:
        """The record of a finished trial, or None.

        Raises:
            FolderError: MP107, it was changed, or is of another trial.
        """
        path = self.trial_path(trial) / _RECORD
        return read_sealed(path, {"key": trial.key()}, *_RECORDED, fix=AGAIN) if path.exists() else None

    def write_record(self, trial: Trial, record: dict[str, Any]) -> None:
        """Write the record of a trial: it is trained."""
        write_sealed(self.trial_path(trial) / _RECORD, {"key": trial.key()}, record)

    def read_measured(self, trial: Trial, length: int, part: str = "test") -> Measured | None:
        """What was measured at one length, or None where nothing was.

        Raises:
            FolderError: MP107, it was changed, or was measured on another trial, length, part or weights.
        """
        path = self._measured_path(trial, length, part)
        if not path.exists() or (record := self.read_record(trial)) is None:
            return None
        bound = _measurement(trial, length, part, record["weights_sha256"])
        fields = [field.name for field in dataclasses.fields(Measured)]
        content = read_sealed(path, bound, *fields, fix=AGAIN)
        return Measured(**{name: content[name] for name in fields})

    def write_measured(
        self, trial: Trial, length: int, measured: Measured, part: str = "test", *, weights_sha256: str
    ) -> None:
        """Write what was measured at one length, with the weights of this hash."""
        path = self._measured_path(trial, length, part)
        write_sealed(path, _measurement(trial, length, part, weights_sha256), dataclasses.asdict(measured))

    def _measured_path(self, trial: Trial, length: int, part: str) -> Path:
        prefix = "length" if part == "test" else part
        return self.trial_path(trial) / f"{prefix}-{length}.json"

    def check_looks(self, looks: Sequence[int] | None) -> None:
        """Refuse to plan other looks after a result was seen: error rates hold for those planned beforehand.

        Raises:
            FolderError: MP107, with both plans.
        """
        path = self.path / RESULT
        if looks is None or not path.exists():
            return
        spec = read_json(path, "spec")["spec"]
        held = spec.get("looks") if isinstance(spec, dict) else None
        if isinstance(held, list) and held and held != list(looks):
            raise FolderError(
                "the seeds at which this sweep looks were planned otherwise, and a result was seen since",
                got=f"looks at {held[0]} to {held[-1]} seeds there, {looks[0]} to {looks[-1]} here",
                fix=f"--max-seeds {held[-1]} with {held[0]} --seeds or fewer, or another --out",
            )


def _measurement(trial: Trial, length: int, part: str, weights_sha256: str) -> dict[str, Any]:
    """What a measurement is of."""
    return {"key": trial.key(), "length": length, "part": part, "weights_sha256": weights_sha256}


def environment(device: str, threads: int = 1) -> dict[str, Any]:
    """What decides bits beside the design: versions, machine kind, device and threads of a trial."""
    import platform
    from importlib.metadata import version

    from milepost import __version__

    return {
        "milepost": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "numpy": version("numpy"),
        "system": platform.system(),
        "machine": platform.machine(),
        "device": device,
        "threads_per_trial": threads,
    }
