"""A sweep as the command line that makes it."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from milepost.comparison.design import Training
from milepost.comparison.request import Request
from milepost.tasks import find_task


def build_command(request: Request) -> str:
    """The command line that makes the same comparison again."""
    design, seeds = request.design, request.tuning_seeds
    size, recipe = design.model, design.training
    options: dict[str, Any] = {
        "task": design.task,
        "encodings": ",".join(request.encodings),
        "baseline": request.baseline,
        "train-length": design.train_length,
        "lengths": ",".join(map(str, request.lengths)),
        "steps": recipe.steps,
        "batch": recipe.batch,
        "lr": recipe.lr,
        "seeds": len(seeds) if seeds == tuple(range(len(seeds))) else ",".join(map(str, seeds)) + ",",
        "layers": size.layers,
        "dim": size.dim,
        "heads": size.heads,
        "init-std": size.init_std,
        "margin": request.margin,
    }
    for name, values in (("tune-lr", request.grid.lrs), ("tune-scale", request.grid.scales)):
        if len(values) > 1:
            options[name] = ",".join(f"{value:g}" for value in values)
    purpose = {f.name: getattr(request.purpose, f.name) for f in dataclasses.fields(request.purpose)}
    options |= {name.replace("_", "-"): value for name, value in purpose.items() if value is not None}
    if request.sequential is not None:
        options |= {"until": "decided", "max-seeds": request.sequential.looks[-1]}
    if request.metric != find_task(design.task).metrics[0]:
        options["metric"] = request.metric.name
    if size.folder:
        for name in ("layers", "dim", "heads", "init-std"):
            del options[name]
        options["model"] = size.folder
    if size.parameters:
        options["match"] = "parameters"
    if recipe.dtype != Training.dtype:
        options["dtype"] = recipe.dtype
    for told in dataclasses.fields(design.options):
        value = getattr(design.options, told.name)
        if told.name != "header" and value != told.default:
            options[told.name.replace("_", "-")] = value
    words = [
        "milepost",
        "compare",
        design.data,
        *([] if design.options.header else ["--no-header"]),
        *(["--weights"] if size.weights else []),
        *(["--compile"] if recipe.compile else []),
    ]
    for code in design.imports:
        words += ["--import", code.path or code.module]
    for option, value in options.items():
        words += [f"--{option}", str(value)]
    return shlex.join(words)
