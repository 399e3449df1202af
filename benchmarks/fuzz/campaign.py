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

from milepost.processes import DEVNULL, PIPE, start_python

SECONDS, MEGABYTES = 5, 500
_WAIT = 20  # seconds of waiting for each of computing: other processes compute too
_START = 120  # seconds of waiting for a process to begin
_WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Report:
    """What came out: how often each outcome, and every fault by its seed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)


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
        while seed < first + count and len(report.faults) < most_faults:
            orders = map(str, (target, seed, first + count, seconds, megabytes, folder))
            seed = _work(list(orders), seed, wait or _WAIT * seconds, report, most_faults, progress)
    return report


def _work(
    orders: list[str],
    seed: int,
    wait: float,
    report: Report,
    most_faults: int,
    progress: Callable[[int, Report], None],
) -> int:
    """Follow one process; returns the first seed that it did not begin."""
    process = start_python(
        ["-W", "ignore", str(_WORKER), *orders],
        variables={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    assert process.stdout is not None
    begun = ended = seed - 1
    with process, _Watch(process.kill) as watch:
        watch.wait(_START)
        for line in process.stdout:
            said = json.loads(line)
            watch.wait(wait)
            if "begin" in said:
                begun = said["begin"]
                continue
            ended = said["end"]
            if "fault" in said:
                report.faults[ended] = said["fault"]
            else:
                report.outcomes[said["outcome"]] += 1
            progress(ended, report)
            if len(report.faults) >= most_faults:
                process.kill()
                return ended + 1
    if begun > ended:
        report.faults[begun] = _death(process.returncode)
        progress(begun, report)
    elif process.returncode:
        raise RuntimeError(f"the process cannot work: {_death(process.returncode)}")
    return begun + 1


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
