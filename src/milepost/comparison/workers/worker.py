"""A worker process: reads trials from standard input, answers on standard output, one JSON object a line.

Started by the runner as ``python -m milepost.comparison.workers.worker``, so it works from scripts and notebooks alike
(nothing of the caller's main module is imported again), and it ends when the runner does, however that ends. Asked
to end (SIGTERM), or left alone by the runner, it leaves a checkpoint first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

_SECONDS_BETWEEN_NEWS = 0.25
_PATIENCE_SECONDS = 1.0  # with a trial that another call holds, when there is nothing else to do


def main() -> None:
    """Serve trials until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to handle
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer

    def tell(kind: str, **content: Any) -> bool:
        try:
            print(json.dumps({"kind": kind, **content}), file=answers, flush=True)
        except BrokenPipeError:
            return False  # the runner is gone
        return True

    from milepost.comparison.trials.checkpoint import Stopped
    from milepost.comparison.trials.run import prepare_torch

    prepare_torch()

    tasks: dict[str, Any] = {}
    alone = not tell("ready")
    for line in sys.stdin:
        try:
            alone = alone or not tell(**_serve(json.loads(line), tasks, tell))
        except Stopped:
            alone = True
        if alone:
            _leave()


def _leave() -> NoReturn:
    os._exit(1)  # an orderly end would flush answers to a runner that is gone


def _serve(order: dict[str, Any], tasks: dict[str, Any], tell: Callable[..., bool]) -> dict[str, Any]:
    """Carry out one order; returns the answer."""
    from milepost.comparison.design import Trial
    from milepost.comparison.run_folder.folder import RunFolder
    from milepost.comparison.trials.run import read_task
    from milepost.errors import FolderError, MilepostError

    trial, folder = Trial.from_json(order["trial"]), RunFolder(Path(order["folder"]))
    try:
        key = trial.design.key()
        if key not in tasks:
            tasks[key] = read_task(trial)
        with folder.hold(trial, patience_seconds=_PATIENCE_SECONDS if order["wait"] else 0) as held:
            return _work(order, trial, folder, tasks[key], tell) if held else {"kind": "held"}
    except FolderError as error:
        return {"kind": "stopped", "code": error.code, "error": [error.problem, error.got, error.fix]}
    except MilepostError as error:
        return {"kind": "failed", "reason": _reason(error)}


def _work(
    order: dict[str, Any], trial: Any, folder: Any, task: Any, tell: Callable[..., bool]
) -> dict[str, Any]:
    """Run a trial that this process holds, and write into the journal what becomes of it."""
    from milepost.comparison.trials.checkpoint import Stopped
    from milepost.errors import FolderError

    key, journal = trial.key(), folder.journal
    record, past = folder.read_record(trial), journal.read().past(trial.key())
    diverged = record is not None and record["status"] == "diverged"
    if past.failures > order["failures"]:  # another call has met it since this one was planned
        return {"kind": "finished"} if diverged else {"kind": "failed", "reason": past.reason}
    if order["again"] and diverged:
        folder.forget(trial)
    try:
        if order["companions"] and record is None:
            _train_together(order, trial, folder, task, tell)
        if _run(order, trial, folder, task, tell) or not (past.finished or diverged):
            record = folder.read_record(trial)
            bad = record["status"] == "diverged"
            journal.append(
                "diverged" if bad else "finished", key, **({"reason": record["reason"]} if bad else {})
            )
    except (FolderError, Stopped):
        raise
    except Exception as error:
        journal.append("failed", key, reason=_reason(error))
        return {"kind": "failed", "reason": _reason(error)}
    return {"kind": "finished"}


def _train_together(
    order: dict[str, Any], trial: Any, folder: Any, task: Any, tell: Callable[..., bool]
) -> None:
    """Train the trial and its companions as a batch of models; each is measured when its own turn comes."""
    import torch

    from milepost.comparison.design import Trial
    from milepost.comparison.trials.batched import CannotBatch, train_together
    from milepost.comparison.trials.run import write_trained

    with contextlib.ExitStack() as held:
        trials = [trial]
        for other in map(Trial.from_json, order["companions"]):
            if folder.read_record(other) is None and held.enter_context(
                folder.hold(other, patience_seconds=0)
            ):
                trials.append(other)
        trials = [one for one in trials if folder.read_record(one) is None]  # now that they are held
        if len(trials) == 1:
            return
        checkpoints = [_checkpoints(order, one, folder, tell) for one in trials]

        def stop() -> bool:
            return sum(one.stop() for one in checkpoints) > 0  # each is to be asked

        try:
            with _stoppable(stop):
                trained = train_together(
                    trials, task, torch.device(order["device"]), _News(tell, stop).step, checkpoints
                )
        except CannotBatch as error:
            tell("note", text=f"{trial.encoding} is trained one seed after another: {error}")
            return
        for one, outcome, kept in zip(trials, trained, checkpoints, strict=True):
            record = write_trained(one, task, folder, outcome)
            kept.remove()
            if one != trial and record["status"] == "diverged":
                folder.journal.append("diverged", one.key(), reason=record["reason"])


def _run(order: dict[str, Any], trial: Any, folder: Any, task: Any, tell: Callable[..., bool]) -> bool:
    import torch

    from milepost.comparison.trials.run import run_trial

    device = torch.device(order["device"])
    checkpoints = _checkpoints(order, trial, folder, tell)
    team: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if order["processes"] > 1 and folder.read_record(trial) is None:
        from milepost.comparison.workers.processes import assemble

        team = assemble(trial, order["distributed"], order["processes"], device)
    with team as members, _stoppable(checkpoints.stop):
        return run_trial(
            trial,
            {"test": order["lengths"], "validation": order["validation"]},
            folder,
            device=device,
            task=task,
            on_step=_News(tell, checkpoints.stop).step,
            checkpoints=checkpoints,
            keep_model=order["keep_model"],
            team=members,
        )


def _checkpoints(order: dict[str, Any], trial: Any, folder: Any, tell: Callable[..., bool]) -> Any:
    """The checkpoints of a trial, whose events go into the journal."""
    import torch

    from milepost.comparison.run_folder.folder import environment
    from milepost.comparison.trials.checkpoint import Checkpoints

    def note(event: str, **facts: Any) -> None:
        if event in ("begun", "resumed"):
            facts |= {"encoding": trial.encoding, "seed": trial.seed}
            facts |= {"host": socket.gethostname(), "process": os.getpid()}
        folder.journal.append(event, trial.key(), **facts)
        if event == "damaged":
            tell("note", text=f"{facts['file']} is damaged and was passed over")

    return Checkpoints(
        folder.trial_path(trial),
        environment(order["device"], torch.get_num_threads()) | order["environment"],
        every_seconds=order["checkpoint_seconds"],
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


def _reason(error: Exception) -> str:
    from milepost.errors import MilepostError

    if isinstance(error, MilepostError):
        return f"{error.problem} ({error.got})"
    return f"{type(error).__name__}: {error}"


class _News:
    def __init__(self, tell: Callable[..., bool], stop: Callable[[], bool]) -> None:
        self._tell, self._stop = tell, stop
        self._last = 0.0

    def step(self, steps: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_NEWS:
            self._last = now
            if not self._tell("step", steps=steps):
                self._stop()


if __name__ == "__main__":
    main()
