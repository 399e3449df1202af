"""``milepost.compare``: matched models that differ in their position encoding alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from milepost.comparison.design import (
    ENCODINGS,
    Design,
    Model,
    Sweep,
    Training,
    Trial,
    read_encodings,
    read_lengths,
    read_seeds,
)
from milepost.comparison.folder import RunFolder, environment
from milepost.comparison.result import build_result
from milepost.comparison.runner import Job, Plan, Progress, run_jobs
from milepost.errors import OptionError
from milepost.tasks import Options, Task, find_task

RUNS = "milepost-runs"


def compare(
    data: str | None = None,
    *,
    task: str = "causal-lm",
    encodings: str | Sequence[str] = ENCODINGS,
    baseline: str | None = None,
    train_length: int | None = None,
    lengths: str | Sequence[int] | None = None,
    seeds: int | Sequence[int] = 3,
    options: Options | None = None,
    model: Model | None = None,
    training: Training | None = None,
    margin: float = 0.01,
    workers: int | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_plan: Callable[[Plan], None] | None = None,
) -> dict[str, Any]:
    """Train one model per encoding and seed, measure all at each length, and say what the numbers carry.

    Trials of one seed share the initial value of every weight they have in common and see the same batches in
    the same order. Finished trials are never run again; a call that was killed continues with what is missing.

    Args:
        data: a file, a folder of files, or ``builtin:NAME``; what comes with the task by default.
        task: what the models are asked to do, one of ``milepost.tasks.TASKS``.
        encodings: spec strings.
        baseline: the encoding that the others are held against; ``learned`` where it is listed, else the first.
        train_length: of training inputs, in the task's unit; their positions are the rows of a learned table.
        lengths: lengths at which to measure, in that unit; the trained length is always among them.
        seeds: how many, or which; fewer than three name no winner.
        options: what else there is to say of the data: tokenizer, columns, parts of its own.
        model: size and initial scale of the shared model.
        training: the shared recipe.
        margin: difference that does not matter, as a share of the baseline's loss.
        workers: processes at once, each with one thread; the number of processors by default.
        device: a torch device.
        out: the run folder; ``milepost-runs/<task>-<hash of the design>`` by default.
        restart: train all trials of the folder anew.
        on_progress: told of each trial's progress.
        on_plan: told the folder, all trials and the jobs still to do, before they begin.

    Returns:
        The result, a JSON document as ``schemas/compare.json`` says; also left in the folder as ``result.json``.
        All of it but ``environment`` and each trial's ``measured`` is the same in a repeated run.

    Raises:
        SpecError: MP103. UnknownName: MP104. OptionError: MP105. DataError: MP110.
        FolderError: MP107, the folder holds another design, or trials of another environment.
        TrialFailed: MP140, when no worker can be started.
    """
    kind = find_task(task)
    data, trained = data or kind.source, train_length or kind.train_length
    names = read_encodings(encodings)
    base = _read_baseline(baseline, names)
    wanted_seeds = read_seeds(seeds)
    wanted_lengths = read_lengths([*read_lengths(kind.lengths if lengths is None else lengths), trained])
    if not 0 <= margin < 1:
        raise OptionError("the margin is a share of the loss", got=str(margin), fix="0.01 is one per cent")
    if workers is not None and workers < 1:
        raise OptionError("at least one worker is needed", got=str(workers), fix="--workers 1 or more")
    said = options or Options()
    content = kind.open(data, said)
    content.check_lengths(trained, wanted_lengths)
    design = Design(task, data, content.sha256, trained, said, model or Model(), training or Training())
    _check_encodings(names, design, content)
    sweep = Sweep(design, names, wanted_seeds, wanted_lengths, base, margin)
    folder = RunFolder(Path(out) if out else Path(RUNS) / f"{task}-{design.key()}")
    folder.check(design)
    if restart:
        folder.restart()
    plan = _plan(sweep, folder, content)
    if on_plan is not None:
        on_plan(plan)
    failures = {}
    if plan.jobs:
        here = environment(device)
        folder.check_environment(here)
        folder.begin(design, here)
        at_once = workers or available_processors()
        news = on_progress or (lambda _: None)
        failures = run_jobs(plan.jobs, folder.path, workers=at_once, device=device, on_progress=news)
    result = build_result(sweep, folder, failures, content, environment(device))
    folder.write_result(result)
    return result


def _read_baseline(baseline: str | None, names: tuple[str, ...]) -> str:
    if baseline is None:
        return "learned" if "learned" in names else names[0]
    (base,) = read_encodings([baseline])
    if base not in names:
        raise OptionError(
            "the baseline is not among the encodings", got=base, fix=f"one of {', '.join(names)}"
        )
    return base


def _check_encodings(names: tuple[str, ...], design: Design, task: Task) -> None:
    """Build each encoding once, so that a bad option is an error before anything is trained or written."""
    from milepost.comparison.building import build_model

    for name in names:
        build_model(Trial(design, name, 0), task)


def _plan(sweep: Sweep, folder: RunFolder, task: Task) -> Plan:
    missing = [(trial, _missing(folder, trial, sweep.lengths, task)) for trial in sweep.trials]
    jobs = tuple(Job(trial, lengths) for trial, lengths in missing if lengths)
    return Plan(folder.path, sweep.trials, jobs)


def _missing(folder: RunFolder, trial: Trial, lengths: tuple[int, ...], task: Task) -> tuple[int, ...]:
    """Lengths still to measure, all of them for a trial that is not trained."""
    record = folder.read_record(trial)
    if record is None:
        return lengths
    if record["status"] != "done":
        return ()
    from milepost.comparison.trial import answers

    answered = (length for length in lengths if answers(record, task, length))
    return tuple(length for length in answered if folder.read_measured(trial, length) is None)


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
