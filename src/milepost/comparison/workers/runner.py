"""Trials in parallel worker processes, each with one torch thread."""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from milepost.comparison.design import Trial
from milepost.comparison.plan import Job, Progress
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.workers.messages import Order, Reply
from milepost.comparison.workers.running import Running
from milepost.errors import TrialFailed
from milepost.storage.processes import PIPE, TimeoutExpired, start_python

_FAREWELL_SECONDS = 1.5  # for workers that are asked to stop, to finish a step and leave a checkpoint
_SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it torch refuses to multiply deterministically on a GPU
}
_MOST_DEATHS = 2  # of processes, after which a trial has failed


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    running: Running,
    on_progress: Callable[[Progress], None],
) -> dict[Trial, str]:
    """Run all jobs; results are left in the folder.

    Other calls may work in the folder at the same time: each trial is run by one of them, and this call returns
    when all are done. A trial whose process died is taken up again from its checkpoint, once. However
    this call ends, no worker is left running; those in training leave a checkpoint first, if a step of theirs
    ends soon enough.

    Returns:
        Trials that failed, each with its reason.

    Raises:
        TrialFailed: MP140, when workers cannot even start.
        FolderError: MP107, the folder cannot be written, or a checkpoint is of another environment.
        DiskFull: MP108.
    """
    crew = _Crew(jobs, RunFolder(folder), on_progress)
    with contextlib.ExitStack() as stack:
        hired: list[_Worker] = []

        def hire() -> None:
            hired.append(stack.enter_context(_Worker(folder, running, crew.inbox)))

        try:
            crew.run(min(running.workers, len(jobs)), hire)
        except BaseException:
            for worker in hired:
                worker.stop()
            raise
    return crew.failures


_Inbox = queue.SimpleQueue["tuple[_Worker, Reply | None]"]
"""What workers say, each with who says it; None once its output closed."""


class _Crew:
    """Hands jobs to workers, and takes their news."""

    def __init__(
        self, jobs: Sequence[Job], folder: RunFolder, on_progress: Callable[[Progress], None]
    ) -> None:
        self.inbox: _Inbox = queue.SimpleQueue()
        self.failures: dict[Trial, str] = {}
        self._waiting = deque(jobs)
        self._elsewhere = set[Trial]()  # another call was at work there
        self._deaths = Counter[Trial]()
        self._folder, self._on_progress = folder, on_progress

    def run(self, workers: int, hire: Callable[[], None]) -> None:
        """Run all jobs by so many workers."""
        for _ in range(workers):
            hire()
        while workers:
            worker, reply = self.inbox.get()
            if reply is None:  # its output closed: it was sent home, or it died
                if not worker.started:
                    raise _cannot_start(worker)
                if worker.job is not None:
                    self._mourn(worker.job, worker.last_words())
                if worker.job is not None and self._waiting:
                    hire()
                else:
                    workers -= 1
            elif reply.stop is not None:
                raise reply.stop.error()
            elif reply.kind in ("step", "note"):
                assert worker.job is not None
                self._on_progress(Progress(worker.job.trial, reply.steps, note=reply.note))
            else:
                self._next(worker, reply)

    def _next(self, worker: _Worker, reply: Reply) -> None:
        """Take a worker's last word on its job, and give it another one."""
        if reply.kind == "held":
            assert worker.job is not None
            self._elsewhere.add(worker.job.trial)
            self._waiting.append(worker.job)
        elif worker.job is not None:
            self._finish(worker.job, reply.reason)
        job = self._waiting.popleft() if self._waiting else None
        worker.give(job, wait=job is not None and job.trial in self._elsewhere)

    def _finish(self, job: Job, reason: str | None) -> None:
        if reason is not None:
            self.failures[job.trial] = reason
        steps = job.trial.design.training.steps
        failure = reason or find_divergence(self._folder, job.trial)
        self._on_progress(Progress(job.trial, steps, finished=True, failure=failure))

    def _mourn(self, job: Job, words: str) -> None:
        self._deaths[job.trial] += 1
        if self._deaths[job.trial] == _MOST_DEATHS:
            self._finish(job, f"its process died: {words}")
        else:
            self._waiting.appendleft(job)
            self._on_progress(
                Progress(job.trial, 0, note=f"its process died ({words}); it is taken up again")
            )


def find_divergence(folder: RunFolder, trial: Trial) -> str | None:
    """Why a trial diverged, where it did."""
    record = folder.read_record(trial)
    return f"diverged: {record['reason']}" if record and record["status"] == "diverged" else None


def _cannot_start(worker: _Worker) -> TrialFailed:
    return TrialFailed(
        "a worker process cannot start",
        got=worker.last_words(),
        fix="check the installation with: python -P -m milepost.comparison.workers",
    )


class _Worker:
    """One process, and a thread that passes its answers on."""

    def __init__(self, folder: Path, running: Running, inbox: _Inbox) -> None:
        self.job: Job | None = None
        self.started = False
        self._folder, self._running, self._inbox = folder, running, inbox
        self._end = 0.0

    def __enter__(self) -> _Worker:
        self._words = tempfile.TemporaryFile()
        self._process = start_python(
            ["-m", "milepost.comparison.workers"],
            variables=_SURROUNDINGS,
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._words,
            new_session=True,  # Ctrl-C reaches the runner alone
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with contextlib.suppress(TimeoutExpired):
                self._process.wait(max(0.0, self._end - time.monotonic()))
        finally:  # whoever presses Ctrl-C twice does not want to wait
            self._process.kill()
            self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._words):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self.started = True
            self._inbox.put((self, Reply.from_json(line)))
        self._inbox.put((self, None))

    def stop(self) -> None:
        """Ask the worker to leave a checkpoint and end."""
        self._process.terminate()
        self._end = time.monotonic() + _FAREWELL_SECONDS

    def give(self, job: Job | None, *, wait: bool) -> None:
        """Hand over the next job, or send the worker home; ``wait`` a little, if another call holds the trial."""
        self.job = job
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):  # a dead worker is noticed by its closed output
            if job is None:
                stdin.close()
                return
            order = Order(job, self._folder, self._running, wait)
            stdin.write(order.to_json().encode() + b"\n")
            stdin.flush()

    def last_words(self) -> str:
        """Last line of the standard error of an ended worker, or how it ended."""
        code = self._process.wait()
        self._words.seek(0)
        lines = self._words.read()[-2_000:].decode(errors="replace").strip().splitlines()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}, {lines[-1]}" if lines else how


def gather_seeds(jobs: Sequence[Job], most: int) -> list[list[Job]]:
    """Jobs of one encoding and setting, up to ``most`` together; of each batch the first names the others.

    Batches stand in the order of their first jobs.

    >>> gather_seeds([], 4)
    []
    """
    kinds: dict[Trial, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(replace(job.trial, seed=0), []).append(job)
    batches = [kind[at : at + most] for kind in kinds.values() for at in range(0, len(kind), most)]
    place = {job.trial: place for place, job in enumerate(jobs)}
    batches.sort(key=lambda batch: place[batch[0].trial])
    return [[replace(first, companions=tuple(job.trial for job in rest)), *rest] for first, *rest in batches]
