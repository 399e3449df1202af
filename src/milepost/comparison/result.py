"""The result document of a sweep, assembled from its run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from milepost.comparison.advice import advise
from milepost.comparison.command import build_command
from milepost.comparison.design import SCALE_RULE, Trial
from milepost.comparison.folder import RunFolder
from milepost.comparison.request import Sweep
from milepost.comparison.settings import Setting, find_flips
from milepost.comparison.verdict import build_comparisons, build_degradations
from milepost.tasks import Task

SCHEMA_VERSION = 1
Values = Mapping[int, float]


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
    metric, higher = sweep.metric.name, sweep.metric.higher_is_better
    comparisons = build_comparisons(
        rows,
        baseline=sweep.baseline,
        lengths=sweep.lengths,
        metric=metric,
        margin=sweep.margin,
        higher_is_better=higher,
        sequential=sweep.sequential,
    )
    grids = _read_grids(sweep, folder)
    for comparison in comparisons:
        values = grids.get(comparison["length"], {})
        flips = find_flips(comparison, values, sweep.chosen, higher_is_better=higher) if values else []
        if flips:
            comparison |= {"verdict": "not_robust", "flips": flips}
    degradations = build_degradations(
        rows,
        sweep.lengths,
        sweep.design.train_length,
        metric=metric,
        margin=sweep.margin,
        higher_is_better=higher,
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "spec": _spec(sweep, records, task),
        "environment": environment,
        "notes": task.notes(sweep.design.train_length, sweep.lengths),
        "trials": rows,
        "tuning": _tuning(sweep, folder, failures),
        "comparisons": comparisons,
        "degradations": degradations,
        "recommendation": advise(
            sweep, rows, comparisons, degradations, grids.get(sweep.deciding_length, {}), task
        ),
        "pictures": _pictures(records),
    }


def is_decided(result: dict[str, Any]) -> bool:
    """Whether more seeds would change no verdict at the deciding length."""
    here = (c for c in result["comparisons"] if c["length"] == result["spec"]["deciding_length"])
    return all(c["verdict"] not in ("undecided", "too_few_seeds") for c in here)


def read_values(
    sweep: Sweep, folder: RunFolder, encoding: str, setting: Setting, length: int, part: str = "test"
) -> dict[int, float]:
    """The deciding metric of an encoding at one setting, by seed, of the trials that have it."""
    seeds = sweep.tuning_seeds if sweep.grid.tuned else sweep.seeds
    found = {}
    for seed in seeds:
        measured = folder.read_measured(sweep.trial(encoding, setting, seed), length, part)
        if measured is not None:
            found[seed] = measured.metrics[sweep.metric.name]
    return found


def _read_grids(sweep: Sweep, folder: RunFolder) -> dict[int, dict[tuple[str, Setting], Values]]:
    """The deciding metric by length, by encoding and setting; empty where nothing was tuned."""
    if not sweep.grid.tuned:
        return {}
    return {
        length: {
            (name, setting): read_values(sweep, folder, name, setting, length)
            for name in sweep.encodings
            for setting in sweep.settings(name)
        }
        for length in sweep.lengths
    }


def _tuning(sweep: Sweep, folder: RunFolder, failures: dict[Trial, str]) -> dict[str, Any] | None:
    """What was tried and chosen; None where nothing was tuned."""
    if not sweep.grid.tuned:
        return None
    length = sweep.design.train_length
    trials = []
    for trial in sweep.tuning_trials:
        record = folder.read_record(trial)
        measured = folder.read_measured(trial, length, "validation")
        status = "failed" if trial in failures else record["status"] if record else "missing"
        trials.append(
            {
                "encoding": trial.encoding,
                "seed": trial.seed,
                "lr": trial.recipe.lr,
                "scale": trial.scale,
                "status": status,
                "reason": failures.get(trial) or (record or {}).get("reason"),
                "value": None if measured is None else measured.metrics[sweep.metric.name],
            }
        )
    edges = {min(sweep.grid.lrs), max(sweep.grid.lrs)} if len(sweep.grid.lrs) > 1 else set()
    return {
        "part": "validation",
        "metric": sweep.metric.name,
        "length": length,
        "lrs": list(sweep.grid.lrs),
        "scales": list(sweep.grid.scales),
        "chosen": {name: dataclasses.asdict(sweep.setting(name)) for name in sweep.encodings},
        "at_the_edge": [name for name in sweep.encodings if sweep.setting(name).lr in edges],
        "trials": trials,
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
        "training_loss": [],
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
        "items": {str(length): task.count_items(length) for length in sweep.lengths} if task.item else {},
        "item": task.item,
        "axis": task.axis,
        "unit": task.unit,
        "evaluate": sweep.design.options.evaluate,
        "encodings": list(sweep.encodings),
        "baseline": sweep.baseline,
        "lengths": list(sweep.lengths),
        "deciding_length": sweep.deciding_length,
        "seeds": list(sweep.seeds),
        "margin": sweep.margin,
        "need_length": sweep.purpose.need_length,
        "max_parameters": sweep.purpose.max_parameters,
        "looks": list(sweep.sequential.looks) if sweep.sequential else None,
        "scales": {name: scale for name, scale in scales.items() if scale},
        "scale_rule": SCALE_RULE,
        "command": build_command(sweep),
    }


def _pictures(records: dict[Trial, dict[str, Any] | None]) -> dict[str, Any]:
    """The first seed's picture of each encoding that adds vectors."""
    pictures: dict[str, Any] = {}
    for trial, record in records.items():
        if record and record["picture"]:
            pictures.setdefault(trial.encoding, {"seed": trial.seed, **record["picture"]})
    return pictures
