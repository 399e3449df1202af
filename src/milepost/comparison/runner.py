"""Trials in parallel worker processes, each with one torch thread."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from milepost.comparison.design import Trial
from milepost.errors import TrialFailed


@dataclass(frozen=True)
class Job:
    """A trial, and the lengths at which it is to be measured on the test and on the validation part."""

    trial: Trial
    lengths: tuple[int, ...]
    validation: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All trials of a sweep, and the jobs that are still to do."""

    folder: Path
    trials: tuple[Trial, ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Progress:
    """News while trials run: ``steps`` of ``trial`` are done; ``failure`` says why it ended early."""

    trial: Trial
    steps: int
    finished: bool = False
    failure: str | None = None


def run_jobs(
    jobs: Sequence[Job], folder: Path, *, workers: int, device: str, on_progress: Callable[[Progress], None]
) -> dict[Trial, str]:
    """Run all jobs; results are left in the folder.

    A worker that dies takes only its own trial with it. However this call ends, no worker is left running.

    Returns:
        Trials that failed, each with its reason.

    Raises:
        TrialFailed: MP140, when workers cannot even start.
    """
    waiting, failures = deque(jobs), dict[Trial, str]()
    inbox: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:

        def hire() -> None:
            stack.enter_context(_Worker(folder, device, inbox))

        def finish(job: Job, reason: str | None) -> None:
            if reason is not None:
                failures[job.trial] = reason
            steps = job.trial.design.training.steps
            on_progress(Progress(job.trial, steps, finished=True, failure=reason))

        working = min(workers, len(jobs))
        for _ in range(working):
            hire()
        while working:
            worker, answer = inbox.get()
            if answer is None:  # its output closed: it was sent home, or it died
                if not worker.started:
                    raise _cannot_start(worker)
                if worker.job is not None:
                    finish(worker.job, f"its process died: {worker.last_words()}")
                if worker.job is not None and waiting:
                    hire()
                else:
                    working -= 1
            elif answer["kind"] == "step":
                assert worker.job is not None
                on_progress(Progress(worker.job.trial, answer["steps"]))
            else:
                if worker.job is not None:
                    finish(worker.job, answer.get("reason"))
                worker.give(waiting.popleft() if waiting else None)
    return failures


def _cannot_start(worker: _Worker) -> TrialFailed:
    return TrialFailed(
        "a worker process cannot start",
        got=worker.last_words(),
        fix="check the installation with: python -m milepost.comparison.worker",
    )


class _Worker:
    """One process, and a thread that passes its answers on."""

    def __init__(self, folder: Path, device: str, inbox: queue.SimpleQueue[Any]) -> None:
        self.job: Job | None = None
        self.started = False
        self._folder, self._device, self._inbox = folder, device, inbox

    def __enter__(self) -> _Worker:
        self._words = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "milepost.comparison.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C reaches the runner alone
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._words):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self.started = True
            self._inbox.put((self, json.loads(line)))
        self._inbox.put((self, None))

    def give(self, job: Job | None) -> None:
        """Hand over the next job, or send the worker home."""
        self.job = job
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):  # a dead worker is noticed by its closed output
            if job is None:
                stdin.close()
                return
            order = {
                "trial": job.trial.to_json(),
                "lengths": job.lengths,
                "validation": job.validation,
                "folder": str(self._folder),
                "device": self._device,
            }
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()

    def last_words(self) -> str:
        """Last line of the standard error of an ended worker, or how it ended."""
        code = self._process.wait()
        self._words.seek(0)
        lines = self._words.read()[-2_000:].decode(errors="replace").strip().splitlines()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}, {lines[-1]}" if lines else how
