"""Run as a program: try a range of seeds on one target, a line of JSON before and after each.

``python -P benchmarks/fuzz/worker.py TARGET FIRST LAST SECONDS MEGABYTES FOLDER``; TARGET is a name of
``benchmarks.fuzz.targets.TARGETS``, or ``FILE.py:FUNCTION``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fuzz.targets import TARGETS, Target, outcome, prepare

_GUARD = 3  # times the megabytes that are allowed: then the system refuses more
_MEGABYTE = 10**6


def main(name: str, first: int, last: int, seconds: int, megabytes: int, folder: Path) -> None:
    """Try seeds from ``first`` up to ``last``."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # readers that print do not print into the answers
    target = find_target(name)
    if name in TARGETS:
        prepare(name, folder)
    for seed in range(first, last):
        say(answers, {"begin": seed})
        say(answers, {"end": seed, **attempt(target, seed, seconds, megabytes, folder)})


def find_target(name: str) -> Target:
    """The target of a name, or the function of a file."""
    if name in TARGETS:
        return TARGETS[name]
    path, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("planted", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Target = getattr(module, function)
    return found


def attempt(target: Target, seed: int, seconds: int, megabytes: int, folder: Path) -> dict[str, str]:
    """The outcome of one seed, or its fault; what computes for too long ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    before = _memory("VmRSS")
    data = _memory("VmData") + _GUARD * megabytes * _MEGABYTE
    resource.setrlimit(resource.RLIMIT_DATA, (data, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins again
    try:
        found = {"outcome": outcome(target, seed, folder)}
    except BaseException as error:
        found = {"fault": f"{type(error).__name__}: {str(error)[:200]} at {_place(error)}"}
    grown = max(_memory("VmHWM") - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    if grown > megabytes * _MEGABYTE:
        found = {"fault": f"memory: {grown // _MEGABYTE} MB, {found}"}
    return found


def _place(error: BaseException) -> str:
    steps = traceback.extract_tb(error.__traceback__)
    ours = [step for step in steps if "milepost" in step.filename] or steps
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def say(answers: IO[str], facts: dict[str, Any]) -> None:
    """Write one line, at once."""
    answers.write(json.dumps(facts) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]), Path(sys.argv[6]))  # type: ignore[arg-type]
