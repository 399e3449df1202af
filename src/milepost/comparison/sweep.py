"""``milepost.compare``: matched models that differ in their position encoding alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from milepost.comparison.design import (
    ENCODINGS,
    LENGTHS,
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
from milepost.errors import OptionError, UnknownName

TASKS = ("causal-lm",)
RUNS = "milepost-runs"


def compare(
    data: str = "builtin:python-docs",
    *,
    task: str = "causal-lm",
    encodings: str | Sequence[str] = ENCODINGS,
    baseline: str | None = None,
    train_length: int = 32,
    lengths: str | Sequence[int] = LENGTHS,
    seeds: int | Sequence[int] = 3,
    tokenizer: str = "char",
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
        data: a ``.txt`` file, a folder of them, or ``builtin:python-docs``.
        task: what the models are asked to do; ``causal-lm``.
        encodings: spec strings.
        baseline: the encoding that the others are held against; ``learned`` where it is listed, else the first.
        train_length: tokens of a training sequence and rows of a learned table.
        lengths: lengths at which to measure, in tokens; the trained length is always among them.
        seeds: how many, or which; fewer than three name no winner.
        tokenizer: ``char`` or ``byte``.
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
    if task not in TASKS:
        raise UnknownName.among("task", task, TASKS)
    names = read_encodings(encodings)
    base = _read_baseline(baseline, names)
    wanted_seeds = read_seeds(seeds)
    wanted_lengths = read_lengths([*read_lengths(lengths), train_length])
    if not 0 <= margin < 1:
        raise OptionError("the margin is a share of the loss", got=str(margin), fix="0.01 is one per cent")
    if workers is not None and workers < 1:
        raise OptionError("at least one worker is needed", got=str(workers), fix="--workers 1 or more")
    from milepost.tasks import CausalLM

    content = CausalLM.from_source(data, tokenizer)
    content.check_lengths(train_length, wanted_lengths)
    sha256 = content.source.sha256
    design = Design(task, data, sha256, tokenizer, train_length, model or Model(), training or Training())
    _check_encodings(names, design)
    sweep = Sweep(design, names, wanted_seeds, wanted_lengths, base, margin)
    folder = RunFolder(Path(out) if out else Path(RUNS) / f"{task}-{design.key()}")
    folder.check(design)
    if restart:
        folder.restart()
    plan = _plan(sweep, folder)
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
    result = build_result(sweep, folder, failures, content.facts(), environment(device))
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


def _check_encodings(names: tuple[str, ...], design: Design) -> None:
    """Build each encoding once, so that a bad option is an error before anything is trained or written."""
    from milepost.encodings import Geometry, build

    size = design.model
    geometry = Geometry(
        dim=size.dim,
        heads=size.heads,
        head_dim=size.dim // size.heads,
        max_len=design.train_length,
        embedding_rms=size.init_std,
    )
    for name in names:
        build(name, geometry)


def _plan(sweep: Sweep, folder: RunFolder) -> Plan:
    missing = [(trial, _missing(folder, trial, sweep.lengths)) for trial in sweep.trials]
    jobs = tuple(Job(trial, lengths) for trial, lengths in missing if lengths)
    return Plan(folder.path, sweep.trials, jobs)


def _missing(folder: RunFolder, trial: Trial, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Lengths still to measure, all of them for a trial that is not trained."""
    record = folder.read_record(trial)
    if record is None:
        return lengths
    if record["status"] != "done":
        return ()
    limit = record["usable_length"]
    answered = (length for length in lengths if limit is None or length <= limit)
    return tuple(length for length in answered if folder.read_losses(trial, length) is None)


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
