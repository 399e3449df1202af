"""Running one trial: train, keep the weights, write the record, measure each length."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from milepost.comparison.design import Trial
from milepost.comparison.run_folder.folder import AGAIN, RunFolder
from milepost.comparison.trials.checkpoint import Checkpoints
from milepost.comparison.trials.convergence import has_converged
from milepost.comparison.trials.export import write_model
from milepost.comparison.trials.model import build_model, find_encoding
from milepost.comparison.trials.training import Trained, train
from milepost.encodings import Encoding
from milepost.errors import DataError, FolderError
from milepost.plugins import load_code
from milepost.storage.files import durable
from milepost.tasks import Task, find_task

if TYPE_CHECKING:
    from milepost.comparison.trials.team import Team

_MAP_SIDE = 64  # rows and columns of a similarity picture at most
_MOST_POINTS = 200  # of a training curve


def prepare_torch() -> None:
    """One thread, and the same bits each time."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # nothing here reads what it did not write, and filling costs time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def read_task(trial: Trial) -> Task:
    """Load the code that a trial's design imports, read its data, and check that both are still the same.

    Raises:
        PluginError: MP109, DataError: MP110, when one changed since the sweep began.
    """
    load_code(trial.design.imports)
    task = find_task(trial.design.task).open(trial.design.data, trial.design.options)
    if task.sha256 != trial.design.data_sha256:
        raise DataError(
            "the data changed while the sweep ran",
            got=trial.design.data,
            fix="run again with the data as it is now",
        )
    return task


def run_trial(
    trial: Trial,
    lengths: Mapping[str, Sequence[int]],
    folder: RunFolder,
    *,
    device: torch.device,
    task: Task,
    on_step: Callable[[int], None],
    checkpoints: Checkpoints | None = None,
    keep_model: bool = False,
    team: Team | None = None,
) -> bool:
    """Do what is missing of a trial, and leave all of it in the folder.

    That is training, measuring each part at its lengths, and keeping the model. It may be killed at any moment:
    called again it does what is left, to the same bits.

    Returns:
        Whether anything was missing.
    """
    record, model = folder.read_record(trial), None
    if trained := record is None:
        record, model = _train(trial, task, folder, device, on_step, checkpoints, team)
    if checkpoints is not None:
        checkpoints.remove()
    wanted = [
        (part, length)
        for part, chosen in lengths.items()
        for length in chosen
        if answers(record, task, length) and folder.read_measured(trial, length, part) is None
    ]
    keep_model = keep_model and not folder.model_path(trial).exists()
    if record["status"] != "done" or not (wanted or keep_model):
        return trained
    model = model or _reload(trial, task, folder, record).to(device)
    if keep_model:
        write_model(model, folder.model_path(trial), trial, task)
    for part, length in wanted:
        measured = task.evaluate(model, length, device, part)
        if not all(map(math.isfinite, (*measured.metrics.values(), *measured.curve))):
            record |= {"status": "diverged", "reason": f"a metric at length {length} is not a number"}
            folder.write_record(trial, record)
            break
        folder.write_measured(trial, length, measured, part, weights_sha256=record["weights_sha256"])
    return True


def _train(
    trial: Trial,
    task: Task,
    folder: RunFolder,
    device: torch.device,
    on_step: Callable[[int], None],
    checkpoints: Checkpoints | None,
    team: Team | None,
) -> tuple[dict[str, Any], nn.Module]:
    if team is not None and not team.keeps_checkpoints:
        checkpoints = None
    trained = train(trial, task, device, on_step, checkpoints, team)
    return write_trained(trial, task, folder, trained), trained.model


def write_trained(trial: Trial, task: Task, folder: RunFolder, trained: Trained) -> dict[str, Any]:
    """Leave the weights and the record of a trained trial in the folder; returns the record."""
    record = _record(trial, task, trained)
    record["weights_sha256"] = _save(trained.model, folder.weights_path(trial))
    folder.write_record(trial, record)
    return record


def answers(record: Mapping[str, Any], task: Task, length: int) -> bool:
    """Whether the encoding of a trained trial has an answer at this length."""
    limit = record["usable_length"]
    return limit is None or task.positions(length) <= limit


def _record(trial: Trial, task: Task, trained: Trained) -> dict[str, Any]:
    model, encoding = trained.model, find_encoding(trained.model)
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
        "converged": None if diverged else has_converged(trained.losses, task.floor()),
        "training_loss": thin_losses(trained.losses),
        "picture": None if diverged else build_picture(encoding, task.positions(trial.design.train_length)),
        "measured": {
            "seconds": trained.seconds,
            "tokens_per_second": len(trained.losses)
            * trial.design.training.batch
            * task.positions(trial.design.train_length)
            / trained.seconds,
            "peak_memory_bytes": trained.peak_memory_bytes or None,
        },
    }


def thin_losses(losses: Sequence[float]) -> list[list[float]]:
    """A training curve of at most 200 points: steps taken, and the mean loss since the point before.

    It ends where a loss is not a number.

    >>> thin_losses([3.0, 2.0])
    [[1, 3.0], [2, 2.0]]
    """
    edges = np.linspace(0, len(losses), min(len(losses), _MOST_POINTS) + 1).round().astype(int).tolist()
    points = [[stop, round(float(np.mean(losses[start:stop])), 6)] for start, stop in pairwise(edges)]
    return list(takewhile(lambda point: math.isfinite(point[1]), points))


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
    # tied weights share their tensor; buffers may share one too, which safetensors does not take
    content = save({name: value.detach().cpu().clone().contiguous() for name, value in _lasting(model)})
    with durable(path) as beside:
        beside.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _reload(trial: Trial, task: Task, folder: RunFolder, record: dict[str, Any]) -> nn.Module:
    folder.check_weights(trial, record)
    path = folder.weights_path(trial)
    if not path.exists():
        raise FolderError(
            "the weights of a finished trial are gone, and are needed to measure it", got=str(path), fix=AGAIN
        )
    model = build_model(trial, task)
    stored = load_file(path)
    with torch.no_grad():
        for name, value in _lasting(model):
            value.copy_(stored[name])
    return model.eval()


def _lasting(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, each once, and the buffers that training changes: those of the state dict and of encodings."""
    yield from model.named_parameters()
    kept = model.state_dict(keep_vars=True).keys()
    for place, module in model.named_modules():
        for name, value in module.named_buffers(place, recurse=False):
            if name in kept or isinstance(module, Encoding):
                yield name, value
