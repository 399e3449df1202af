"""A worker process: reads trials from standard input, answers on standard output, one JSON object a line.

Started by the runner as ``python -m milepost.comparison.worker``, so it works from scripts and notebooks alike
(nothing of the caller's main module is imported again), and it ends when the runner does, however that ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

_SECONDS_BETWEEN_NEWS = 0.25


def main() -> None:
    """Serve trials until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to handle
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer

    def tell(kind: str, **content: Any) -> None:
        try:
            print(json.dumps({"kind": kind, **content}), file=answers, flush=True)
        except BrokenPipeError:
            os._exit(1)  # the runner is gone

    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # nothing here reads what it did not write, and filling costs time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    from milepost.comparison.design import Trial
    from milepost.comparison.folder import RunFolder
    from milepost.comparison.trial import run_trial
    from milepost.errors import MilepostError

    tasks: dict[str, Any] = {}

    def load_task(trial: Trial) -> Any:
        key = trial.design.key()
        if key not in tasks:
            tasks[key] = read_task(trial)
        return tasks[key]

    tell("ready")
    for line in sys.stdin:
        order = json.loads(line)
        trial = Trial.from_json(order["trial"])
        news = _News(tell)
        try:
            run_trial(
                trial,
                {"test": order["lengths"], "validation": order["validation"]},
                RunFolder(Path(order["folder"])),
                device=torch.device(order["device"]),
                load_task=load_task,
                on_step=news.step,
            )
            tell("finished")
        except MilepostError as error:
            tell("failed", reason=f"{error.problem} ({error.got})")
        except Exception as error:
            tell("failed", reason=f"{type(error).__name__}: {error}")


def read_task(trial: Any) -> Any:
    """Read the data of a trial's design and check that it is still the same.

    Raises:
        DataError: MP110, when it changed since the sweep began.
    """
    from milepost.errors import DataError
    from milepost.tasks import find_task

    task = find_task(trial.design.task).open(trial.design.data, trial.design.options)
    if task.sha256 != trial.design.data_sha256:
        raise DataError(
            "the data changed while the sweep ran",
            got=trial.design.data,
            fix="run again with the data as it is now",
        )
    return task


class _News:
    def __init__(self, tell: Any) -> None:
        self._tell = tell
        self._last = 0.0

    def step(self, steps: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_NEWS:
            self._last = now
            self._tell("step", steps=steps)


if __name__ == "__main__":
    main()
