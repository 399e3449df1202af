"""Try seeds on a target in a process with limits, and start another where one was ended."""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from milepost.storage.processes import DEVNULL, PIPE, start_python

SECONDS, MEGABYTES = 5, 500
_WAIT = 20  # seconds of waiting for each of computing: other processes compute too
_START = 120  # seconds of waiting for a process to begin
_WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Report:
    """What came out: how often each outcome, and every fault by its seed.

    A seed that ended its process is tried once more in a new one: ``repeated`` holds those that then passed. A machine
    that pauses charges the pause to whoever computes.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    repeated: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    """What stays the same over all seeds of a campaign."""

    target: str
    seconds: int
    megabytes: int
    wait: float
    most_faults: int
    folder: str
    progress: Callable[[int, Report], None]


def try_seeds(
    target: str,
    first: int,
    count: int,
    *,
    seconds: int = SECONDS,
    megabytes: int = MEGABYTES,
    wait: float | None = None,
    most_faults: int = 50,
    progress: Callable[[int, Report], None] = lambda seed, report: None,
) -> Report:
    """Try ``count`` seeds from ``first`` on; the same seeds give the same mutations.

    Args:
        target: a name of ``benchmarks.fuzz.targets.TARGETS``, or ``FILE.py:FUNCTION``.
        first: seed.
        count: of seeds.
        seconds: of computing that a seed may take.
        megabytes: of memory by which it may grow.
        wait: seconds that may pass; by default twenty for each of computing.
        most_faults: after which nothing more is tried.
        progress: is told of each seed.
    """
    report, seed = Report(), first
    with tempfile.TemporaryDirectory() as folder:
        plan = _Plan(target, seconds, megabytes, wait or _WAIT * seconds, most_faults, folder, progress)
        while seed < first + count and len(report.faults) < most_faults:
            seed, death = _work(plan, seed, first + count, report)
            if death is not None:
                _, death = _work(plan, seed, seed + 1, report)
                if death is None:
                    report.repeated.append(seed)
                else:
                    report.faults[seed] = death
                    progress(seed, report)
            seed += 1
    return report


def _work(plan: _Plan, first: int, last: int, report: Report) -> tuple[int, str | None]:
    """Follow one process; returns the last seed that it began, and what ended it on that one."""
    orders = (plan.target, first, last, plan.seconds, plan.megabytes, plan.folder)
    process = start_python(
        ["-W", "ignore", str(_WORKER), *map(str, orders)],
        variables={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    assert process.stdout is not None
    begun = ended = first - 1
    with process, _Watch(process.kill) as watch:
        watch.wait(_START)
        for line in process.stdout:
            said = json.loads(line)
            watch.wait(plan.wait)
            if "begin" in said:
                begun = said["begin"]
                continue
            ended = said["end"]
            if "fault" in said:
                report.faults[ended] = said["fault"]
            else:
                report.outcomes[said["outcome"]] += 1
            plan.progress(ended, report)
            if len(report.faults) >= plan.most_faults:
                process.kill()
                return ended, None
    if begun > ended:
        return begun, _death(process.returncode)
    if process.returncode:
        raise RuntimeError(f"the process cannot work: {_death(process.returncode)}")
    return begun, None


def _death(code: int) -> str:
    names = {signal.SIGXCPU: "it computed for too long", signal.SIGKILL: "it was waited for too long"}
    with contextlib.suppress(ValueError):
        ending = signal.Signals(-code)
        return f"{names.get(ending, 'it broke down')} ({ending.name})"
    return f"it ended with {code}"


class _Watch:
    """Calls a function when nothing was heard for a while."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._late, self._timer = late, threading.Timer(0, late)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def wait(self, seconds: float) -> None:
        """Begin to wait again."""
        self._timer.cancel()
        self._timer = threading.Timer(seconds, self._late)
        self._timer.start()
