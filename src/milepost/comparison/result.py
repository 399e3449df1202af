"""The result document of a sweep, assembled from its run folder."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from milepost.comparison.design import SCALE_RULE, Sweep, Trial
from milepost.comparison.folder import RunFolder
from milepost.comparison.verdict import build_comparisons, build_degradations, build_recommendation
from milepost.tasks import Task

SCHEMA_VERSION = 1


def build_result(
    sweep: Sweep,
    folder: RunFolder,
    failures: dict[Trial, str],
    task: Task,
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Assemble the document that ``schemas/compare.json`` describes.

    Args:
        sweep: what was asked for.
        folder: where the trials are.
        failures: trials of this call that ended without a record, with their reasons.
        task: the data and the metrics.
        environment: what the result says of the environment.
    """
    records = {trial: folder.read_record(trial) for trial in sweep.trials}
    rows = [_row(sweep, folder, trial, records[trial], failures.get(trial)) for trial in sweep.trials]
    lengths, deciding = list(sweep.lengths), sweep.design.train_length
    comparisons = build_comparisons(rows, baseline=sweep.baseline, lengths=lengths, margin=sweep.margin)
    degradations = build_degradations(rows, lengths, deciding, margin=sweep.margin)
    return {
        "schema_version": SCHEMA_VERSION,
        "spec": _spec(sweep, records, task),
        "environment": environment,
        "trials": rows,
        "comparisons": comparisons,
        "degradations": degradations,
        "recommendation": build_recommendation(
            comparisons,
            rows,
            baseline=sweep.baseline,
            deciding_length=deciding,
            margin=sweep.margin,
            degradations=degradations,
        ),
        "pictures": _pictures(records),
    }


def _row(
    sweep: Sweep, folder: RunFolder, trial: Trial, record: dict[str, Any] | None, failure: str | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "encoding": trial.encoding,
        "seed": trial.seed,
        "status": "missing",
        "reason": None,
        "metrics": {},
        "loss_by_position": [],
        "breakdown": {},
        "parameters": None,
        "position_parameters": None,
        "batch_hash": None,
        "converged": None,
        "measured": {},
    }
    if failure is not None:
        return row | {"status": "failed", "reason": failure}
    if record is None:
        return row
    row |= {key: record[key] for key in row if key in record}
    for length in sweep.lengths:
        measured = folder.read_measured(trial, length)
        row["metrics"][str(length)] = None if measured is None else measured.metrics
        if measured is not None:
            row["loss_by_position"] = measured.curve or row["loss_by_position"]  # lengths rise: the longest
            row["breakdown"][str(length)] = measured.breakdown
    return row


def _spec(sweep: Sweep, records: dict[Trial, dict[str, Any] | None], task: Task) -> dict[str, Any]:
    spec = sweep.design.identity()
    del spec["data_sha256"]
    scales = {trial.encoding: record["scales"] for trial, record in records.items() if record}
    return spec | {
        "steps": spec["training"].pop("steps"),
        "batch": spec["training"].pop("batch"),
        "data": task.facts(),
        "metrics": [dataclasses.asdict(metric) for metric in task.metrics],
        "axis": task.axis,
        "unit": task.unit,
        "evaluate": sweep.design.options.evaluate,
        "encodings": list(sweep.encodings),
        "baseline": sweep.baseline,
        "lengths": list(sweep.lengths),
        "deciding_length": sweep.design.train_length,
        "seeds": list(sweep.seeds),
        "margin": sweep.margin,
        "scales": {name: scale for name, scale in scales.items() if scale},
        "scale_rule": SCALE_RULE,
        "command": build_command(sweep),
    }


def build_command(sweep: Sweep) -> str:
    """The command line that makes the same comparison again."""
    design, seeds = sweep.design, sweep.seeds
    size, recipe = design.model, design.training
    options = {
        "task": design.task,
        "encodings": ",".join(sweep.encodings),
        "baseline": sweep.baseline,
        "train-length": design.train_length,
        "lengths": ",".join(map(str, sweep.lengths)),
        "steps": recipe.steps,
        "batch": recipe.batch,
        "lr": recipe.lr,
        "seeds": len(seeds) if seeds == tuple(range(len(seeds))) else ",".join(map(str, seeds)) + ",",
        "layers": size.layers,
        "dim": size.dim,
        "heads": size.heads,
        "init-std": size.init_std,
        "margin": sweep.margin,
    }
    for told in dataclasses.fields(design.options):
        value = getattr(design.options, told.name)
        if told.name != "header" and value != told.default:
            options[told.name.replace("_", "-")] = value
    words = ["milepost", "compare", design.data, *([] if design.options.header else ["--no-header"])]
    for option, value in options.items():
        words += [f"--{option}", str(value)]
    return shlex.join(words)


def _pictures(records: dict[Trial, dict[str, Any] | None]) -> dict[str, Any]:
    """The first seed's picture of each encoding that adds vectors."""
    pictures: dict[str, Any] = {}
    for trial, record in records.items():
        if record and record["picture"]:
            pictures.setdefault(trial.encoding, {"seed": trial.seed, **record["picture"]})
    return pictures
