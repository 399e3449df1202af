"""What a worker process does: it takes orders, one JSON object per line, and replies in the same way.

The runner starts it as ``python -m milepost.comparison.workers``, so it works from scripts and notebooks alike
(nothing of the caller's main module is imported again), and it ends when the runner does, however that ends. Asked
to end (SIGTERM), or left alone by the runner, it leaves a checkpoint first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

import torch

from milepost.comparison.design import Trial
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.trials.batched import CannotBatch, train_together
from milepost.comparison.trials.checkpoint import Checkpoints, Stopped
from milepost.comparison.trials.run import prepare_torch, read_task, run_trial, write_trained
from milepost.comparison.trials.team import Team
from milepost.comparison.workers.messages import Order, Reply, Stop, reason_of
from milepost.comparison.workers.processes import assemble
from milepost.errors import FolderError, MilepostError
from milepost.tasks import Task

_SECONDS_BETWEEN_NEWS = 0.25
_PATIENCE_SECONDS = 1.0  # with a trial that another call holds, when there is nothing else to do

Tell = Callable[[Reply], bool]
"""Sends a reply; False where the runner is gone."""


def serve(orders: Iterable[str], replies: TextIO) -> None:
    """Carry out orders until there are no more."""

    def tell(reply: Reply) -> bool:
        try:
            print(reply.to_json(), file=replies, flush=True)
        except BrokenPipeError:
            return False
        return True

    prepare_torch()
    tasks: dict[str, Task] = {}
    alone = not tell(Reply("ready"))
    for line in orders:
        try:
            alone = alone or not tell(carry_out(Order.from_json(line), tasks, tell))
        except Stopped:
            alone = True
        if alone:
            _leave()


def _leave() -> NoReturn:
    os._exit(1)  # an orderly end would flush replies to a runner that is gone


def carry_out(order: Order, tasks: dict[str, Task], tell: Tell) -> Reply:
    """Carry out one order.

    Args:
        order: what is to do.
        tasks: those read so far, by the key of their design; the order's is added.
        tell: told of news on the way.

    Returns:
        How it ended.
    """
    trial, folder = order.job.trial, RunFolder(order.folder)
    try:
        key = trial.design.key()
        if key not in tasks:
            tasks[key] = read_task(trial)
        with folder.hold(trial, patience_seconds=_PATIENCE_SECONDS if order.wait else 0) as held:
            return _Work(order, folder, tasks[key], tell).do() if held else Reply("held")
    except FolderError as error:
        return Reply("stopped", stop=Stop.of(error))
    except MilepostError as error:
        return Reply("failed", reason=reason_of(error))


@dataclass(frozen=True)
class _Work:
    """An order whose trial this process holds."""

    order: Order
    folder: RunFolder
    task: Task
    tell: Tell

    def do(self) -> Reply:
        """Run the trial, and write into the journal what becomes of it."""
        job, folder = self.order.job, self.folder
        key, journal = job.trial.key(), folder.journal
        record, past = folder.read_record(job.trial), journal.read().past(key)
        diverged = record is not None and record["status"] == "diverged"
        if past.failures > job.failures:  # another call has met it since this one was planned
            return Reply("finished") if diverged else Reply("failed", reason=past.reason)
        if job.again and diverged:
            folder.forget(job.trial)
        try:
            if job.companions and record is None:
                self._train_together()
            if self._run() or not (past.finished or diverged):
                self._note_end()
        except (FolderError, Stopped):
            raise
        except Exception as error:
            journal.append("failed", key, reason=reason_of(error))
            return Reply("failed", reason=reason_of(error))
        return Reply("finished")

    def _note_end(self) -> None:
        trial, journal = self.order.job.trial, self.folder.journal
        record = self.folder.read_record(trial)
        assert record is not None
        if record["status"] == "diverged":
            journal.append("diverged", trial.key(), reason=record["reason"])
        else:
            journal.append("finished", trial.key())

    def _train_together(self) -> None:
        """Train the trial and its companions as a batch of models; each is measured when its own turn comes."""
        first, folder = self.order.job.trial, self.folder
        with contextlib.ExitStack() as held:
            trials = [first]
            for other in self.order.job.companions:
                if folder.read_record(other) is None and held.enter_context(
                    folder.hold(other, patience_seconds=0)
                ):
                    trials.append(other)
            trials = [one for one in trials if folder.read_record(one) is None]  # now that they are held
            if len(trials) == 1:
                return
            checkpoints = [self._checkpoints(one) for one in trials]

            def stop() -> bool:
                return sum(one.stop() for one in checkpoints) > 0  # each is to be asked

            try:
                with _stoppable(stop):
                    trained = train_together(
                        trials, self.task, self._device, _News(self.tell, stop).step, checkpoints
                    )
            except CannotBatch as error:
                self.tell(Reply("note", note=f"{first.encoding} is trained one seed after another: {error}"))
                return
            for one, outcome, kept in zip(trials, trained, checkpoints, strict=True):
                record = write_trained(one, self.task, folder, outcome)
                kept.remove()
                if one != first and record["status"] == "diverged":
                    folder.journal.append("diverged", one.key(), reason=record["reason"])

    def _run(self) -> bool:
        """Do what is missing of the trial; returns whether anything was."""
        job = self.order.job
        checkpoints = self._checkpoints(job.trial)
        with self._team() as team, _stoppable(checkpoints.stop):
            return run_trial(
                job.trial,
                {"test": job.lengths, "validation": job.validation},
                self.folder,
                device=self._device,
                task=self.task,
                on_step=_News(self.tell, checkpoints.stop).step,
                checkpoints=checkpoints,
                keep_model=job.keep_model,
                team=team,
            )

    def _team(self) -> contextlib.AbstractContextManager[Team | None]:
        """The processes that train the trial together, where it is more than this one."""
        alone = self.order.running.scale.processes_per_trial == 1
        if alone or self.folder.read_record(self.order.job.trial) is not None:
            return contextlib.nullcontext()
        return assemble(self.order)

    @property
    def _device(self) -> torch.device:
        return torch.device(self.order.running.device)

    def _checkpoints(self, trial: Trial) -> Checkpoints:
        """The checkpoints of a trial, whose events go into the journal."""

        def note(event: str, **facts: Any) -> None:
            if event in ("begun", "resumed"):
                facts |= {"encoding": trial.encoding, "seed": trial.seed}
                facts |= {"host": socket.gethostname(), "process": os.getpid()}
            self.folder.journal.append(event, trial.key(), **facts)
            if event == "damaged":
                self.tell(Reply("note", note=f"{facts['file']} is damaged and was skipped"))

        running = self.order.running
        return Checkpoints(
            self.folder.trial_path(trial),
            running.environment(torch.get_num_threads()),
            every_seconds=running.checkpoint_seconds,
            on_event=note,
        )


@contextlib.contextmanager
def _stoppable(stop: Callable[[], bool]) -> Iterator[None]:
    """Within, SIGTERM asks to ``stop``."""
    # the handler changes a flag; a process that is not in training loses nothing by ending at once
    signal.signal(signal.SIGTERM, lambda *_: stop() or _leave())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _News:
    """Tells how many steps are done, a few times per second."""

    def __init__(self, tell: Tell, stop: Callable[[], bool]) -> None:
        self._tell, self._stop = tell, stop
        self._last = 0.0

    def step(self, steps: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_NEWS:
            self._last = now
            if not self._tell(Reply("step", steps=steps)):
                self._stop()
