"""The one training loop: a trial in, a trained model and its losses out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from milepost.comparison.building import build_model
from milepost.comparison.checkpoint import Checkpoints, Run
from milepost.comparison.design import Training, Trial
from milepost.comparison.memory import peak_bytes, reset_peak
from milepost.comparison.randomness import seeded
from milepost.encodings import Encoding
from milepost.tasks import Task
from milepost.tasks.task import to_device

_LOOK = 50  # steps between two looks at the losses, each of which waits for the device


@dataclass(frozen=True)
class Trained:
    """What training left behind.

    Args:
        model: the trained model, in evaluation mode.
        losses: training loss of each step, nats a token.
        batch_hash: of all batches in their order; equal for all encodings of one seed.
        diverged_at: step at which the loss stopped being a number, or None.
        seconds: wall time of the loop alone.
        peak_memory_bytes: of the process while it trained.
    """

    model: nn.Module
    losses: list[float]
    batch_hash: str
    diverged_at: int | None
    seconds: float
    peak_memory_bytes: int = 0


def train(
    trial: Trial,
    task: Task,
    device: torch.device,
    on_step: Callable[[int], None],
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train one model from scratch, or from its newest checkpoint, as the trial says.

    The outcome is a function of the trial alone; global random states are left as they were.

    Args:
        trial: the encoding, the seed and the design.
        task: the data.
        device: where to train.
        on_step: called with the number of finished steps after each.
        checkpoints: where to leave some, and to go on from; none by default.

    Raises:
        Stopped: ``checkpoints`` were asked to stop.
        FolderError: MP107, they cannot be written, or are of another environment. DiskFull: MP108.
    """
    reset_peak()
    model = build_model(trial, task)
    model.to(device).train()
    run = Run(model, build_optimizer(model, trial.recipe))
    with seeded(trial.seed, device), checkpoints.watch(run) if checkpoints else nullcontext():
        begin = time.perf_counter()
        diverged_at = _take_steps(run, trial, task, device, on_step, checkpoints)
        curve = torch.stack(run.losses).tolist()
        seconds = run.seconds + time.perf_counter() - begin
    peak = max(run.peak_memory_bytes, peak_bytes())
    return Trained(model.eval(), curve, run.batches[:16], diverged_at, seconds, peak)


def _take_steps(
    run: Run,
    trial: Trial,
    task: Task,
    device: torch.device,
    on_step: Callable[[int], None],
    checkpoints: Checkpoints | None,
) -> int | None:
    """Take the steps that are left; returns the one from which on the loss is no number."""
    recipe = trial.recipe
    for step in range(len(run.losses), recipe.steps):
        batch = task.batch(trial.seed, step, recipe.batch, trial.design.train_length)
        run.see(batch)
        run.losses.append(take_step(run.model, run.optimizer, task, to_device(batch, device), recipe, step))
        if step % _LOOK == _LOOK - 1 or step + 1 == recipe.steps:
            bad = (~torch.isfinite(torch.stack(run.losses[step // _LOOK * _LOOK :]))).nonzero()
            if len(bad):
                return step // _LOOK * _LOOK + int(bad[0])
        on_step(step + 1)
        if checkpoints is not None:
            checkpoints.after_step(run)
    return None


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    batch: Mapping[str, Tensor],
    recipe: Training,
    step: int,
) -> Float[Tensor, ""]:
    """One optimiser step; returns the loss before it, detached and still on its device."""
    loss = task.loss(model, batch)
    loss.backward()
    if recipe.clip:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def build_optimizer(model: nn.Module, recipe: Training) -> torch.optim.Optimizer:
    """AdamW with weight decay on the matrices of the blocks alone.

    Token tables and all parameters of encodings are exempt: decay shrinks rows that a batch does not use.
    """
    exempted = (nn.Embedding, Encoding)
    tables = {
        id(p) for module in model.modules() if isinstance(module, exempted) for p in module.parameters()
    }
    decayed = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in tables]
    exempt = [p for p in model.parameters() if p.ndim < 2 or id(p) in tables]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=True)


def learning_rate(recipe: Training, step: int) -> float:
    """Linear warm-up, then a cosine down to zero at the last step.

    >>> recipe = Training(steps=100, lr=1.0, warmup_share=0.1)
    >>> [round(learning_rate(recipe, step), 3) for step in (0, 9, 54, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """
    warmup = max(1, round(recipe.steps * recipe.warmup_share))
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    share = (step + 1 - warmup) / max(1, recipe.steps - warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * share))
