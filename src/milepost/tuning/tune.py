"""The rows of a position table trained, written and measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from milepost import __version__
from milepost.errors import OptionError
from milepost.extension.methods import build_method
from milepost.extension.plan import refuse_place
from milepost.storage.files import expand
from milepost.storage.records import DESIGN, check_design, key_of, read_json, write_json
from milepost.tables import decode, encode
from milepost.tuning.patch import Patch, describe_tuning, make_patch
from milepost.tuning.training.gains import Gauge, measure_gains
from milepost.tuning.training.plan import Aim, TuningJob, plan_job
from milepost.tuning.training.split_table import find_parameter
from milepost.tuning.training.training import Recipe, Recovered, recover
from milepost.tuning.write_model import save_model

SCHEMA_VERSION: Final = 1
SAVE: Final = ("model", "patch")
PATCH: Final = "patch.safetensors"
_RESULT, _MODEL = "result.json", "model"
_AGAIN: Final = "delete it; the same command makes it again"

OnProgress = Callable[[str, int, int, float | None], None]


def tune_rows(
    model: str | os.PathLike[str],
    data: str,
    *,
    aim: Aim | None = None,
    recipe: Recipe | None = None,
    out: str | os.PathLike[str] | None = None,
    save: str = "model",
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Train the rows of a model's position table, write the patch and the model, and measure; the work of `milepost.tune`.

    Args:
        aim: which rows, by what objective, on what device, and which column of the data.
        recipe: how to train.

    Returns:
        The document of ``schemas/tune.json``; ``helped`` says whether a gain was shown.

    Raises:
        MilepostError: as `milepost.tune`.
    """
    if save not in SAVE:
        raise OptionError("invalid value for save", got=ascii(save)[:80], fix=f"one of: {', '.join(SAVE)}")
    job = plan_job(model, data, aim or Aim(), recipe or Recipe())
    folder = expand(out) if out is not None else Path("milepost-runs") / f"tune-{key_of(job.identity)}"
    head = {
        "schema_version": SCHEMA_VERSION, "source": job.model, "data": job.data, "output": os.fspath(folder),
        "family": job.checkpoint.family.name if job.checkpoint.family else None, "written": not dry_run,
        "design": dict(job.identity), "documents": job.split.counts(), "milepost_version": __version__,
    }  # fmt: skip
    check_design(folder, job.identity)
    if not (folder / _MODEL).exists():
        refuse_place(folder / _MODEL, job.source)  # before the minutes of training
    if dry_run:
        return head
    write_json(folder / DESIGN, job.identity)
    if not (folder / _RESULT).exists():
        write_json(folder / _RESULT, _work(job, folder, on_progress or (lambda *_: None)))
    body = read_json(folder / _RESULT, "training", "gains", "helped", "saved", "checks", fix=_AGAIN)
    if save == "model" and body["saved"] and not (folder / _MODEL).exists():
        body["checks"], body["saved"] = _save_model(job, folder), [PATCH, _MODEL]
        write_json(folder / _RESULT, body)
    return head | body


def _work(job: TuningJob, folder: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Train, write the patch, measure."""
    before = torch.from_numpy(job.table.rows).float()
    steps = job.recipe.steps
    found = recover(
        job.subject, job.table.key, before, job.span, job.recipe, first_row=job.table.first_row, train=job.split.train,
        stop=job.split.stop, folder=folder, on_step=lambda step, loss: on_progress("train", step, steps, loss),
    )  # fmt: skip
    after = _stored(found.rows.numpy(), job.table.dtype)
    progress = found.progress
    if progress.best_step:
        _make_patch(job, after, found).write(folder / PATCH)
    name = find_parameter(job.subject.model, job.table.key, before)
    gauge = Gauge(job.subject, name, before, job.table.first_row, job.span, job.trained)
    gains = measure_gains(
        gauge,
        torch.from_numpy(after),
        job.split.report,
        lambda done, of: on_progress("measure", done, of, None),
    )
    return {
        "training": {
            "steps": progress.step, "best_step": progress.best_step, "ended": "early" if progress.step < steps else "all steps",
            "last_lr": job.recipe.lr * progress.scale,
            "history": [{"step": step, "loss": loss} for step, loss in progress.history],
        },
        "gains": gains, "helped": gains[0]["verdict"] == "better", "saved": [PATCH] if progress.best_step else [], "checks": [],
    }  # fmt: skip


def _stored(rows: np.ndarray, dtype: str) -> np.ndarray:
    """Rows as the file's format will hold them: what is measured is what is saved."""
    return decode(encode(rows, dtype), dtype).reshape(rows.shape).astype(np.float32)


def _make_patch(job: TuningJob, rows: np.ndarray, found: Recovered) -> Patch:
    """The patch; where the method of extension changed old rows too, it holds them all, and fits the original as well."""
    met = np.flatnonzero(found.counts == 0)
    first = max(job.span.begin, 0)
    covered = first + int(met[0]) if len(met) else job.span.length
    tuning = {
        "objective": job.subject.kind, "first_position": job.span.begin, "window": job.span.window,
        "steps": found.progress.best_step, "batch": job.recipe.batch, "version": __version__,
    }  # fmt: skip
    lengths = max(covered, job.trained)
    record = {"trained_length": lengths, "tuned_length": lengths, "tuning": tuning}
    method = job.method or "tile"
    begin = (
        job.span.begin if job.method is None or build_method(job.method, in_file=True).keeps_old_rows else 0
    )
    return make_patch(job.source, job.checkpoint, job.table, rows, begin=begin, method=method, record=record)


def _save_model(job: TuningJob, folder: Path) -> list[dict[str, Any]]:
    """The whole model, with the rows of the patch that was written."""
    patch = Patch.read(folder / PATCH)
    first = job.table.first_row
    rows = job.table.rows.copy()
    rows[first + patch.begin :] = patch.rows
    checks = save_model(
        job.source, job.table.key, rows, begin=first + job.span.begin, record=patch.record,
        section=describe_tuning(patch.record), out=folder / _MODEL,
    )  # fmt: skip
    return [check.document() for check in checks]
