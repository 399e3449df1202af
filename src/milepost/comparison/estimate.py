"""What a sweep will take, from a few real training steps of each encoding."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from milepost.comparison.design import Trial
from milepost.comparison.plan import Job
from milepost.comparison.trials.model import build_model
from milepost.comparison.trials.peak_memory import peak_bytes, reset_peak
from milepost.comparison.trials.training import build_optimizer, take_step
from milepost.tasks import Task
from milepost.tasks.task import to_device

_MOST_STEPS, _MOST_SECONDS = 6, 2.0


def estimate(jobs: Sequence[Job], task: Task, *, workers: int, device: str) -> dict[str, Any]:
    """Estimate time and memory of jobs; takes seconds, writes nothing.

    Each encoding takes a few training steps here, with one thread, as a worker would; the first is not counted.
    Measuring is not in the estimate, nor is what workers that share a machine take from one another.

    Args:
        jobs: what is to do.
        task: the data.
        workers: processes at once.
        device: where they train.

    Returns:
        ``seconds`` in all; ``peak_memory_bytes`` of all workers at once; ``by_encoding``: ``seconds`` and
        ``peak_memory_bytes`` of one trial.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {
            trial.encoding: _measure(trial, task, torch.device(device))
            for trial in {job.trial.encoding: job.trial for job in reversed(jobs)}.values()
        }
    finally:
        torch.set_num_threads(threads)
    whole = sum(found[job.trial.encoding]["seconds"] for job in jobs)
    largest = sorted((found[job.trial.encoding]["peak_memory_bytes"] for job in jobs), reverse=True)
    return {
        "seconds": whole / max(1, min(workers, len(jobs))),
        "peak_memory_bytes": sum(largest[:workers]),
        "by_encoding": found,
    }


def _measure(trial: Trial, task: Task, device: torch.device) -> dict[str, float]:
    reset_peak()
    recipe = trial.recipe
    model = build_model(trial, task).to(device).train()
    optimizer = build_optimizer(model, recipe)
    taken: list[float] = []
    begin = time.perf_counter()
    for step in range(min(_MOST_STEPS, recipe.steps + 1)):
        before = time.perf_counter()
        batch = task.batch(trial.seed, step, recipe.batch, trial.design.train_length)
        take_step(model, optimizer, task, to_device(batch, device), recipe, 0).item()
        taken.append(time.perf_counter() - before)
        if len(taken) > 1 and time.perf_counter() - begin > _MOST_SECONDS:
            break
    return {
        "seconds": statistics.median(taken[1:] or taken) * recipe.steps,
        "peak_memory_bytes": peak_bytes(),
    }
