"""The result document of a sweep, assembled from its run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from milepost.comparison.command import build_command
from milepost.comparison.design import SCALE_RULE, Trial
from milepost.comparison.request import Sweep
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.settings import Setting, find_flips, find_plausible
from milepost.comparison.verdicts.comparisons import build_comparisons, build_degradations
from milepost.comparison.verdicts.pairs import build_family
from milepost.comparison.verdicts.requirements import advise
from milepost.comparison.verdicts.scores import Pair
from milepost.tasks import Floor, Task

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
    floors = {length: _floor(sweep, task, length) for length in sweep.lengths}
    floor = floors[sweep.design.train_length]
    rows = [_row(sweep, folder, trial, records[trial], failures.get(trial), floor) for trial in sweep.trials]
    grids = _read_grids(sweep, folder, floor)

    def flips(pair: Pair, length: int) -> list[str]:
        return find_flips(pair, grids[length], sweep.chosen) if grids else []

    families = {
        length: build_family(rows, length, sweep.baseline, sweep.criterion, flips) for length in sweep.lengths
    }
    degradations = build_degradations(rows, sweep.lengths, sweep.design.train_length, sweep.criterion)
    scales = {trial.encoding: record["scales"] for trial, record in records.items() if record}
    return {
        "schema_version": SCHEMA_VERSION,
        "spec": _spec(sweep, scales, floors, task),
        "environment": environment,
        "notes": task.notes(sweep.design.train_length, sweep.lengths),
        "trials": rows,
        "tuning": _tuning(sweep, folder, failures),
        "comparisons": build_comparisons(families.values()),
        "degradations": degradations,
        "recommendation": advise(
            sweep,
            rows,
            families[sweep.deciding_length],
            degradations,
            task,
            floor=floors[sweep.deciding_length],
            scales=scales,
        ),
        "pictures": _pictures(records),
    }


def _floor(sweep: Sweep, task: Task, length: int) -> Floor | None:
    """What an answer that ignores the input scores: tasks know it for the metric that decides by default."""
    return task.floor_score(length) if sweep.metric == task.metrics[0] else None


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


def _read_grids(
    sweep: Sweep, folder: RunFolder, floor: Floor | None
) -> dict[int, dict[tuple[str, Setting], Values]]:
    """The deciding metric by length, by encoding and setting, of the settings that can question a verdict.

    Those are the settings that the validation part cannot tell from the chosen one, and at which every trial converged.
    Empty where nothing was tuned.
    """
    if not sweep.grid.tuned:
        return {}
    trained = sweep.design.train_length
    counting = []
    for name in sweep.encodings:
        held = {
            setting: read_values(sweep, folder, name, setting, trained, "validation")
            for setting in sweep.settings(name)
        }
        plausible = find_plausible(held, sweep.setting(name), higher_is_better=sweep.metric.higher_is_better)
        for setting in sweep.settings(name):
            trials = [sweep.trial(name, setting, seed) for seed in sweep.tuning_seeds]
            if setting in plausible and all(_has_learned(sweep, folder, trial, floor) for trial in trials):
                counting.append((name, setting))
    return {
        length: {
            (name, setting): read_values(sweep, folder, name, setting, length) for name, setting in counting
        }
        for length in sweep.lengths
    }


def _has_learned(sweep: Sweep, folder: RunFolder, trial: Trial, floor: Floor | None) -> bool:
    """Whether a trial converged, and scores better than an answer that ignores the input."""
    record = folder.read_record(trial)
    if record is None or record["status"] != "done" or record["converged"] is False:
        return False
    measured = folder.read_measured(trial, sweep.design.train_length)
    if measured is None or floor is None:
        return measured is not None
    return not sweep.criterion.is_at_floor(measured.metrics[sweep.metric.name], floor)


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
    sweep: Sweep,
    folder: RunFolder,
    trial: Trial,
    record: dict[str, Any] | None,
    failure: str | None,
    floor: Floor | None,
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
        "at_floor": None,
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
    scored = row["metrics"].get(str(sweep.design.train_length))
    if row["status"] == "done" and scored is not None and floor is not None:
        row["at_floor"] = sweep.criterion.is_at_floor(scored[sweep.metric.name], floor)
        if row["at_floor"]:
            row["converged"] = False  # nothing was learned, however still the loss stands
    return row


def _spec(
    sweep: Sweep, scales: dict[str, dict[str, float]], floors: dict[int, Floor | None], task: Task
) -> dict[str, Any]:
    spec = sweep.design.identity()
    del spec["data_sha256"]
    return spec | {
        "steps": spec["training"].pop("steps"),
        "batch": spec["training"].pop("batch"),
        "data": task.facts(),
        "metrics": [dataclasses.asdict(metric) for metric in task.metrics],
        "metric": sweep.metric.name,
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
        "floors": {str(length): floor.score for length, floor in floors.items() if floor is not None},
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
