"""What of a sweep is still to do, and the room that it takes on the disk; news of what is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from milepost.comparison.design import Trial
from milepost.comparison.request import Request
from milepost.comparison.run_folder.folder import RunFolder
from milepost.tasks import Task

_CHECKPOINTS = 3  # of a trial at once: two are kept while another is written
_STATES = 3  # of the weights' size in a checkpoint: the weights and both moments of AdamW
_RECORD_BYTES = 100_000  # of a trial: its record with a picture of 64 × 64 numbers, the journal's lines
_NUMBER_BYTES = 24


@dataclass(frozen=True)
class Job:
    """A trial, and the lengths at which it is to be measured on the test and on the validation part.

    Args:
        keep_model: whether its model is to be kept too.
        again: whether to start again, although the trial was trained and diverged.
        failures: how often the trial has failed or diverged so far.
        companions: trials that are to be trained together with this one, as a batch of models.
    """

    trial: Trial
    lengths: tuple[int, ...]
    validation: tuple[int, ...] = ()
    keep_model: bool = False
    again: bool = False
    failures: int = 0
    companions: tuple[Trial, ...] = ()

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Job:
        """Build it from the plain JSON of its fields."""
        trials = {
            "trial": Trial.from_content(content["trial"]),
            "companions": tuple(map(Trial.from_content, content["companions"])),
        }
        lengths = {name: tuple(content[name]) for name in ("lengths", "validation")}
        return cls(**content | trials | lengths)


@dataclass(frozen=True)
class Plan:
    """All trials of a sweep, and the jobs that are still to do.

    Args:
        failures: trials that failed in earlier calls and are left alone, with their reasons.
        remarks: what the journal could not read, a sentence each.
        notes: what a reader must know of the data, a sentence each.
    """

    folder: Path
    trials: tuple[Trial, ...]
    jobs: tuple[Job, ...]
    failures: Mapping[Trial, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """News while trials run: ``steps`` of ``trial`` are done.

    Args:
        failure: why it failed or diverged.
        note: something that the user should know, in a sentence.
    """

    trial: Trial
    steps: int
    finished: bool = False
    failure: str | None = None
    note: str | None = None


def build_plan(
    request: Request,
    folder: RunFolder,
    task: Task,
    *,
    keep_models: bool = False,
    retries: Callable[[Trial], bool] = lambda _: False,
) -> Plan:
    """Find what is missing in the folder.

    Args:
        request: what is wanted.
        folder: where trials are left.
        task: the data.
        keep_models: whether the models of trials are wanted too.
        retries: whether a trial that failed or diverged is to be run again.
    """
    history = folder.journal.read()
    tuning = dict.fromkeys(request.tuning_trials, (request.design.train_length,))
    trials = tuple(
        dict.fromkeys((*tuning, *request.trials) if not request.grid.tuned or request.chosen else tuning)
    )
    jobs, failures = [], dict[Trial, str]()
    for trial in trials:
        record, past = folder.read_record(trial), history.past(trial.key())
        if record is not None:
            folder.check_weights(trial, record)
        if again := record is not None and record["status"] == "diverged" and retries(trial):
            record = None
        lengths = _missing(folder, trial, record, request.lengths, task, "test")
        validation = _missing(folder, trial, record, tuning.get(trial, ()), task, "validation")
        keep = keep_models and (
            record is None or (record["status"] == "done" and not folder.model_path(trial).exists())
        )
        if not (lengths or validation or keep):
            continue
        # whoever removed the trial's folder wants it trained again
        if past.reason is not None and folder.trial_path(trial).exists() and not retries(trial):
            failures[trial] = past.reason
        else:
            jobs.append(Job(trial, lengths, validation, keep, again, past.failures))
    notes = tuple(task.notes(request.design.train_length, request.lengths))
    return Plan(folder.path, trials, tuple(jobs), failures, history.remarks, notes)


def _missing(
    folder: RunFolder,
    trial: Trial,
    record: dict[str, Any] | None,
    lengths: tuple[int, ...],
    task: Task,
    part: str,
) -> tuple[int, ...]:
    """Lengths still to measure, all of them for a trial that is not trained."""
    if record is None:
        return lengths
    if record["status"] != "done":
        return ()
    from milepost.comparison.trials.run import answers

    answered = (length for length in lengths if answers(record, task, length))
    return tuple(length for length in answered if folder.read_measured(trial, length, part) is None)


def needed_bytes(
    jobs: Sequence[Job], folder: RunFolder, weights_bytes: Mapping[str, int], workers: int
) -> int:
    """Room on the disk that jobs need, about: weights, models that are kept, numbers, checkpoints.

    Args:
        jobs: what is to do.
        folder: what is there already is not counted.
        weights_bytes: of the model of each encoding.
        workers: trials that have checkpoints at the same time.
    """
    total, in_training = 0, []
    for job in jobs:
        size = weights_bytes[job.trial.encoding]
        total += _RECORD_BYTES + _NUMBER_BYTES * sum((*job.lengths, *job.validation)) + size * job.keep_model
        if folder.read_record(job.trial) is None:
            in_training.append(size)
    largest = sorted(in_training, reverse=True)[:workers]
    return total + sum(in_training) + _CHECKPOINTS * _STATES * sum(largest)
