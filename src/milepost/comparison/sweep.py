"""``milepost.compare``: matched models that differ in their position encoding alone."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from milepost.comparison.design import (
    ENCODINGS,
    LENGTHS,
    SCALE_RULE,
    Design,
    Model,
    Training,
    Trial,
    read_encodings,
    read_lengths,
    read_seeds,
)
from milepost.comparison.folder import RunFolder, environment, write_json
from milepost.comparison.runner import Job, Plan, Progress, run_jobs
from milepost.comparison.verdict import build_comparisons, build_degradations, build_recommendation
from milepost.errors import OptionError, UnknownName

SCHEMA_VERSION = 1
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
    from milepost.tasks import CausalLM

    content = CausalLM.from_source(data, tokenizer)
    content.check_lengths(train_length, wanted_lengths)
    design = Design(
        task, data, content.source.sha256, tokenizer, train_length, model or Model(), training or Training()
    )
    _check_encodings(names, design)
    folder = RunFolder(Path(out) if out else Path(RUNS) / f"{task}-{design.key()}")
    trials = [Trial(design, name, seed) for seed in wanted_seeds for name in names]
    failures = _run(folder, design, trials, wanted_lengths, workers, device, restart, on_progress, on_plan)

    result = build_result(folder, trials, failures, base, wanted_lengths, margin, content, device)
    write_json(folder.path / "result.json", result)
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


def _run(
    folder: RunFolder,
    design: Design,
    trials: list[Trial],
    lengths: tuple[int, ...],
    workers: int | None,
    device: str,
    restart: bool,
    on_progress: Callable[[Progress], None] | None,
    on_plan: Callable[[Plan], None] | None,
) -> dict[Trial, str]:
    if workers is not None and workers < 1:
        raise OptionError("at least one worker is needed", got=str(workers), fix="--workers 1 or more")
    folder.check(design)
    if restart:
        folder.restart()
    jobs = [
        Job(trial, missing) for trial in trials if (missing := _missing(folder, trial, lengths)) is not None
    ]
    if on_plan is not None:
        on_plan(Plan(folder.path, tuple(trials), tuple(jobs)))
    if not jobs:
        return {}
    here = environment(device)
    folder.check_environment(here)
    folder.begin(design, here)
    return run_jobs(
        jobs,
        folder.path,
        workers=workers or available_processors(),
        device=device,
        on_progress=on_progress or (lambda _: None),
    )


def _missing(folder: RunFolder, trial: Trial, lengths: tuple[int, ...]) -> tuple[int, ...] | None:
    """Lengths still to measure, all of them for a trial that is not trained; None where nothing is to do."""
    record = folder.read_record(trial)
    if record is None:
        return lengths
    limit = record["usable_length"]
    missing = tuple(
        length
        for length in lengths
        if (limit is None or length <= limit) and folder.read_losses(trial, length) is None
    )
    return missing if missing and record["status"] == "done" else None


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def build_result(
    folder: RunFolder,
    trials: list[Trial],
    failures: dict[Trial, str],
    baseline: str,
    lengths: tuple[int, ...],
    margin: float,
    content: Any,
    device: str,
) -> dict[str, Any]:
    """Assemble the result document from the run folder."""
    design = trials[0].design
    records = {trial: folder.read_record(trial) for trial in trials}
    rows = [_trial_row(folder, trial, records[trial], failures.get(trial), lengths) for trial in trials]
    deciding = design.train_length
    comparisons = build_comparisons(rows, baseline=baseline, lengths=list(lengths), margin=margin)
    degradations = build_degradations(rows, list(lengths), deciding, margin=margin)
    return {
        "schema_version": SCHEMA_VERSION,
        "spec": _spec(design, trials, records, baseline, lengths, margin, content),
        "environment": environment(device),
        "trials": rows,
        "comparisons": comparisons,
        "degradations": degradations,
        "recommendation": build_recommendation(
            comparisons,
            rows,
            deciding_length=deciding,
            baseline=baseline,
            margin=margin,
            degradations=degradations,
        ),
        "pictures": _pictures(records),
    }


def _trial_row(
    folder: RunFolder,
    trial: Trial,
    record: dict[str, Any] | None,
    failure: str | None,
    lengths: tuple[int, ...],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "encoding": trial.encoding,
        "seed": trial.seed,
        "status": "missing",
        "reason": None,
    }
    row |= {"metrics": {}, "loss_by_position": [], "parameters": None, "position_parameters": None}
    row |= {"batch_hash": None, "converged": None, "measured": {}}
    if failure is not None:
        return row | {"status": "failed", "reason": failure}
    if record is None:
        return row
    row |= {key: record[key] for key in row if key in record}
    for length in lengths:
        losses = folder.read_losses(trial, length)
        row["metrics"][str(length)] = None if losses is None else {"loss": sum(losses) / len(losses)}
        row["loss_by_position"] = losses or row["loss_by_position"]  # the longest that has an answer
    return row


def _spec(
    design: Design,
    trials: list[Trial],
    records: dict[Trial, dict[str, Any] | None],
    baseline: str,
    lengths: tuple[int, ...],
    margin: float,
    content: Any,
) -> dict[str, Any]:
    names = list(dict.fromkeys(trial.encoding for trial in trials))
    spec = design.identity()
    del spec["data_sha256"]
    return spec | {
        "steps": spec["training"].pop("steps"),
        "batch": spec["training"].pop("batch"),
        "data": {
            "source": design.data,
            "sha256": design.data_sha256,
            "documents": len(content.source.documents),
            "characters": content.source.characters,
            "tokenizer": design.tokenizer,
            "vocabulary": content.vocabulary_size,
            "train_tokens": len(content.train),
            "test_tokens": len(content.test),
            "unigram_loss": content.unigram_loss(),
        },
        "encodings": names,
        "baseline": baseline,
        "lengths": list(lengths),
        "deciding_length": design.train_length,
        "seeds": sorted({trial.seed for trial in trials}),
        "margin": margin,
        "scales": {
            trial.encoding: record["scales"]
            for trial, record in records.items()
            if record and record["scales"]
        },
        "scale_rule": SCALE_RULE,
        "command": build_command(design, names, baseline, lengths, sorted({t.seed for t in trials}), margin),
    }


def build_command(
    design: Design, names: list[str], baseline: str, lengths: tuple[int, ...], seeds: list[int], margin: float
) -> str:
    """The command line that makes the same comparison again."""
    size, recipe = design.model, design.training
    options = {
        "--task": design.task,
        "--tokenizer": design.tokenizer,
        "--encodings": ",".join(names),
        "--baseline": baseline,
        "--train-length": design.train_length,
        "--lengths": ",".join(map(str, lengths)),
        "--steps": recipe.steps,
        "--batch": recipe.batch,
        "--lr": recipe.lr,
        "--seeds": len(seeds) if seeds == list(range(len(seeds))) else ",".join(map(str, seeds)),
        "--layers": size.layers,
        "--dim": size.dim,
        "--heads": size.heads,
        "--init-std": size.init_std,
        "--margin": margin,
    }
    words = ["milepost", "compare", design.data]
    for option, value in options.items():
        words += [option, str(value)]
    return shlex.join(words)


def _pictures(records: dict[Trial, dict[str, Any] | None]) -> dict[str, Any]:
    pictures: dict[str, Any] = {}
    for trial, record in records.items():
        if record and record["picture"] and trial.encoding not in pictures:
            pictures[trial.encoding] = {"seed": trial.seed, **record["picture"]}
    return pictures
