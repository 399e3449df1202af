"""Running one trial: train, keep the weights, measure each length, write the record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from milepost.comparison.building import build_model, find_encoding
from milepost.comparison.design import Trial
from milepost.comparison.folder import RunFolder
from milepost.comparison.memory import peak_memory_bytes, reset_peak_memory
from milepost.comparison.training import Trained, train
from milepost.encodings import Encoding
from milepost.errors import DataError
from milepost.files import durable
from milepost.tasks import Task

_MAP_SIDE = 64  # rows and columns of a similarity picture at most


def run_trial(
    trial: Trial,
    lengths: Mapping[str, Sequence[int]],
    folder: RunFolder,
    *,
    device: torch.device,
    load_task: Callable[[Trial], Task],
    on_step: Callable[[int], None],
) -> None:
    """Do what is missing of a trial: training, and measuring each part at its lengths; all is left in the folder."""
    task = load_task(trial)
    record = folder.read_record(trial)
    if record is None:
        reset_peak_memory()
        trained = train(trial, task, device, on_step)
        model = trained.model
        record = _record(trial, task, trained)
        record["weights_sha256"] = _save(model, folder.trial_path(trial) / "weights.safetensors")
    else:
        model = _reload(trial, task, folder, record["weights_sha256"]).to(device)
    if record["status"] == "done":
        for part, length in [(part, length) for part, wanted in lengths.items() for length in wanted]:
            if folder.read_measured(trial, length, part) is None and answers(record, task, length):
                measured = task.evaluate(model, length, device, part)
                if not all(map(math.isfinite, (*measured.metrics.values(), *measured.curve))):
                    record |= {"status": "diverged", "reason": f"a metric at length {length} is not a number"}
                    break
                folder.write_measured(trial, length, measured, part)
    folder.write_record(trial, record)


def answers(record: Mapping[str, Any], task: Task, length: int) -> bool:
    """Whether the encoding of a trained trial has an answer at this length."""
    limit = record["usable_length"]
    return limit is None or task.positions(length) <= limit


def _record(trial: Trial, task: Task, trained: Trained) -> dict[str, Any]:
    model, encoding = trained.model, find_encoding(trained.model)
    final = float(np.mean(trained.losses[-max(1, len(trained.losses) // 10) :]))
    diverged = trained.diverged_at is not None
    return {
        "trial": trial.encoding,
        "seed": trial.seed,
        "status": "diverged" if diverged else "done",
        "reason": f"the training loss is not a number from step {trained.diverged_at} on"
        if diverged
        else None,
        "parameters": sum(p.numel() for p in model.parameters()),
        "position_parameters": sum(p.numel() for p in encoding.parameters()),
        "scales": encoding.scales,
        "usable_length": encoding.usable_length,
        "batch_hash": trained.batch_hash,
        "converged": None if diverged else trained.settled and final < task.floor(),
        "picture": None if diverged else build_picture(encoding, task.positions(trial.design.train_length)),
        "measured": {
            "seconds": trained.seconds,
            "tokens_per_second": len(trained.losses)
            * trial.design.training.batch
            * task.positions(trial.design.train_length)
            / trained.seconds,
            "peak_memory_bytes": peak_memory_bytes(),
        },
    }


@torch.no_grad()
def build_picture(encoding: Encoding, length: int) -> dict[str, Any] | None:
    """Cosine similarity and norms of the vectors that an encoding adds, or None where it adds none.

    Returns:
        ``cosine``: at most 64 × 64 floats, positions evenly spread; ``norms``: one float a position;
        ``rows``: how many there are.
    """
    vectors = encoding.vectors(range(length))
    if vectors is None:
        return None
    rows = vectors.detach().double().cpu()
    norms = rows.norm(dim=-1)
    shown = torch.linspace(0, length - 1, min(length, _MAP_SIDE)).round().long()
    unit = rows[shown] / norms[shown].clamp(min=1e-12)[:, None]
    cosine = (unit @ unit.T).clamp(-1, 1)
    return {"cosine": _rounded(cosine), "norms": _rounded(norms), "rows": length}


def _rounded(values: torch.Tensor) -> list[Any]:
    rounded: list[Any] = torch.round(values, decimals=4).tolist()
    return rounded


def _save(model: nn.Module, path: Path) -> str:
    # parameters alone, each once: tied weights share their tensor
    tensors = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    with durable(path) as beside:
        save_file(tensors, beside)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _reload(trial: Trial, task: Task, folder: RunFolder, sha256: str) -> nn.Module:
    path = folder.trial_path(trial) / "weights.safetensors"
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise DataError(
            "the weights of a finished trial are not those that were written",
            got=str(path),
            fix="delete the trial's folder; it is then trained again",
        )
    model = build_model(trial, task)
    with torch.no_grad():
        stored = load_file(path)
        for name, parameter in model.named_parameters():
            parameter.copy_(stored[name])
    return model.eval()
