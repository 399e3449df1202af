"""The result document of a sweep, assembled from its run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from milepost.comparison.command import build_command
from milepost.comparison.design import SCALE_RULE, Trial
from milepost.comparison.request import Request
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.sentences.requirements import advise
from milepost.comparison.settings import Setting, find_flips, find_plausible
from milepost.comparison.verdicts.comparisons import build_comparisons, build_degradations
from milepost.comparison.verdicts.pairs import build_family
from milepost.comparison.verdicts.scores import Pair
from milepost.tasks import Floor, Task

SCHEMA_VERSION = 1

Values = Mapping[int, float]


def build_result(
    request: Request,
    folder: RunFolder,
    failures: dict[Trial, str],
    task: Task,
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Assemble the document that ``schemas/compare.json`` describes.

    Args:
        request: what was asked for.
        folder: where the trials are.
        failures: trials of this call that ended without a record, with their reasons.
        task: the data and the metrics.
        environment: what the result says of the environment.
    """
    records = {trial: folder.read_record(trial) for trial in request.trials}
    floors = {length: _floor(request, task, length) for length in request.lengths}
    floor = floors[request.design.train_length]
    rows = [
        _row(request, folder, trial, records[trial], failures.get(trial), floor) for trial in request.trials
    ]
    grids = _read_grids(request, folder, floor)

    def flips(pair: Pair, length: int) -> list[str]:
        return find_flips(pair, grids[length], request.chosen) if grids else []

    families = {
        length: build_family(rows, length, request.baseline, request.criterion, flips)
        for length in request.lengths
    }
    degradations = build_degradations(rows, request.lengths, request.design.train_length, request.criterion)
    scales = {trial.encoding: record["scales"] for trial, record in records.items() if record}
    return {
        "schema_version": SCHEMA_VERSION,
        "spec": _spec(request, scales, floors, task),
        "environment": environment,
        "notes": task.notes(request.design.train_length, request.lengths),
        "trials": rows,
        "tuning": _tuning(request, folder, failures),
        "comparisons": build_comparisons(families.values()),
        "degradations": degradations,
        "recommendation": advise(
            request,
            rows,
            families[request.deciding_length],
            degradations,
            task,
            floor=floors[request.deciding_length],
            scales=scales,
        ),
        "pictures": _pictures(records),
    }


def _floor(request: Request, task: Task, length: int) -> Floor | None:
    """What an answer that ignores the input scores: tasks know it for the metric that decides by default."""
    return task.floor_score(length) if request.metric == task.metrics[0] else None


def is_decided(result: dict[str, Any]) -> bool:
    """Whether more seeds would change no verdict at the deciding length."""
    here = (c for c in result["comparisons"] if c["length"] == result["spec"]["deciding_length"])
    return all(c["verdict"] not in ("undecided", "too_few_seeds") for c in here)


def read_values(
    request: Request, folder: RunFolder, encoding: str, setting: Setting, length: int, part: str = "test"
) -> dict[int, float]:
    """The deciding metric of an encoding at one setting, by seed, of the trials that have it."""
    seeds = request.tuning_seeds if request.grid.tuned else request.seeds
    found = {}
    for seed in seeds:
        measured = folder.read_measured(request.trial(encoding, setting, seed), length, part)
        if measured is not None:
            found[seed] = measured.metrics[request.metric.name]
    return found


def _read_grids(
    request: Request, folder: RunFolder, floor: Floor | None
) -> dict[int, dict[tuple[str, Setting], Values]]:
    """The deciding metric by length, by encoding and setting, of the settings that can question a verdict.

    Those are the settings that the validation part cannot tell from the chosen one, and at which every trial converged.
    Empty where nothing was tuned.
    """
    if not request.grid.tuned:
        return {}
    trained = request.design.train_length
    counting = []
    for name in request.encodings:
        held = {
            setting: read_values(request, folder, name, setting, trained, "validation")
            for setting in request.settings(name)
        }
        plausible = find_plausible(
            held, request.setting(name), higher_is_better=request.metric.higher_is_better
        )
        for setting in request.settings(name):
            trials = [request.trial(name, setting, seed) for seed in request.tuning_seeds]
            if setting in plausible and all(_has_learned(request, folder, trial, floor) for trial in trials):
                counting.append((name, setting))
    return {
        length: {
            (name, setting): read_values(request, folder, name, setting, length) for name, setting in counting
        }
        for length in request.lengths
    }


def _has_learned(request: Request, folder: RunFolder, trial: Trial, floor: Floor | None) -> bool:
    """Whether a trial converged, and scores better than an answer that ignores the input."""
    record = folder.read_record(trial)
    if record is None or record["status"] != "done" or record["converged"] is False:
        return False
    measured = folder.read_measured(trial, request.design.train_length)
    if measured is None or floor is None:
        return measured is not None
    return not request.criterion.is_at_floor(measured.metrics[request.metric.name], floor)


def _tuning(request: Request, folder: RunFolder, failures: dict[Trial, str]) -> dict[str, Any] | None:
    """What was tried and chosen; None where nothing was tuned."""
    if not request.grid.tuned:
        return None
    length = request.design.train_length
    trials = []
    for trial in request.tuning_trials:
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
                "value": None if measured is None else measured.metrics[request.metric.name],
            }
        )
    edges = {min(request.grid.lrs), max(request.grid.lrs)} if len(request.grid.lrs) > 1 else set()
    return {
        "part": "validation",
        "metric": request.metric.name,
        "length": length,
        "lrs": list(request.grid.lrs),
        "scales": list(request.grid.scales),
        "chosen": {name: dataclasses.asdict(request.setting(name)) for name in request.encodings},
        "at_the_edge": [name for name in request.encodings if request.setting(name).lr in edges],
        "trials": trials,
    }


def _row(
    request: Request,
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
    for length in request.lengths:
        measured = folder.read_measured(trial, length)
        row["metrics"][str(length)] = None if measured is None else measured.metrics
        if measured is not None:
            row["loss_by_position"] = measured.curve or row["loss_by_position"]  # lengths rise: the longest
            row["breakdown"][str(length)] = measured.breakdown
    scored = row["metrics"].get(str(request.design.train_length))
    if row["status"] == "done" and scored is not None and floor is not None:
        row["at_floor"] = request.criterion.is_at_floor(scored[request.metric.name], floor)
        if row["at_floor"]:
            row["converged"] = False  # nothing was learned, however still the loss stands
    return row


def _spec(
    request: Request, scales: dict[str, dict[str, float]], floors: dict[int, Floor | None], task: Task
) -> dict[str, Any]:
    spec = request.design.identity()
    del spec["data_sha256"]
    return spec | {
        "steps": spec["training"].pop("steps"),
        "batch": spec["training"].pop("batch"),
        "data": task.facts(),
        "metrics": [dataclasses.asdict(metric) for metric in task.metrics],
        "metric": request.metric.name,
        "items": {str(length): task.count_items(length) for length in request.lengths} if task.item else {},
        "item": task.item,
        "axis": task.axis,
        "unit": task.unit,
        "evaluate": request.design.options.evaluate,
        "encodings": list(request.encodings),
        "baseline": request.baseline,
        "lengths": list(request.lengths),
        "deciding_length": request.deciding_length,
        "seeds": list(request.seeds),
        "margin": request.margin,
        "floors": {str(length): floor.score for length, floor in floors.items() if floor is not None},
        "need_length": request.purpose.need_length,
        "max_parameters": request.purpose.max_parameters,
        "looks": list(request.sequential.looks) if request.sequential else None,
        "scales": {name: scale for name, scale in scales.items() if scale},
        "scale_rule": SCALE_RULE,
        "command": build_command(request),
    }


def _pictures(records: dict[Trial, dict[str, Any] | None]) -> dict[str, Any]:
    """The first seed's picture of each encoding that adds vectors."""
    pictures: dict[str, Any] = {}
    for trial, record in records.items():
        if record and record["picture"]:
            pictures.setdefault(trial.encoding, {"seed": trial.seed, **record["picture"]})
    return pictures
