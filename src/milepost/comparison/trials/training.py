"""The one training loop: a trial in, a trained model and its losses out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from milepost.comparison.design import Training, Trial
from milepost.comparison.trials.checkpoint import Checkpoints, Run
from milepost.comparison.trials.model import build_model
from milepost.comparison.trials.peak_memory import StepMemory, held_tensors
from milepost.comparison.trials.randomness import seeded
from milepost.encodings import Encoding
from milepost.tasks import Task
from milepost.tasks.task import to_device

if TYPE_CHECKING:
    from milepost.comparison.trials.team import Team

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
        peak_memory_bytes: that training takes, see ``StepMemory``; 0 where it could not be measured.
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
    team: Team | None = None,
) -> Trained:
    """Train one model from scratch, or from its newest checkpoint, as the trial says.

    The outcome is a function of the trial alone; global random states are left as they were.

    Args:
        trial: the encoding, the seed and the design.
        task: the data.
        device: where to train.
        on_step: called with the number of finished steps after each.
        checkpoints: where to leave some, and to go on from; none by default.
        team: processes that share each batch; this one alone by default.

    Raises:
        Stopped: ``checkpoints`` were asked to stop.
        FolderError: MP107, they cannot be written, or are of another environment. DiskFull: MP108.
    """
    model = build_model(trial, task)
    model.to(device).train()
    forward = team.wrap(model) if team else model
    run = Run(model, build_optimizer(model, trial.recipe))
    with seeded(trial.seed, device), checkpoints.watch(run) if checkpoints else nullcontext():
        if team:
            team.align(run)
        if trial.recipe.compile:
            forward = torch.compile(forward)  # type: ignore[assignment]
        begin = time.perf_counter()
        diverged_at = _take_steps(run, forward, trial, task, device, on_step, checkpoints, team)
        curve = torch.stack(run.losses).tolist()
        seconds = run.seconds + time.perf_counter() - begin
    if team:
        model = team.whole(model, build_model(trial, task))
    return Trained(model.eval(), curve, run.batches[:16], diverged_at, seconds, run.peak_memory_bytes)


def _take_steps(
    run: Run,
    forward: nn.Module,
    trial: Trial,
    task: Task,
    device: torch.device,
    on_step: Callable[[int], None],
    checkpoints: Checkpoints | None,
    team: Team | None,
) -> int | None:
    """Take the steps that are left; returns the one from which on the loss is no number."""
    recipe = trial.recipe
    memory = StepMemory(lambda: held_tensors(run.model, run.optimizer), device)
    for step in range(len(run.losses), recipe.steps):
        batch = task.batch(trial.seed, step, recipe.batch, trial.design.train_length)
        run.see(batch)
        part, share = team.part(batch, task.weight) if team else (batch, 1.0)
        with memory.step():
            loss = take_step(forward, run.optimizer, task, to_device(part, device), recipe, step, share)
        run.peak_memory_bytes = max(run.peak_memory_bytes, memory.peak_bytes)
        run.losses.append(team.mean(loss) if team else loss)
        diverged_at = find_divergence(run.losses, step, recipe.steps)
        if diverged_at is not None:
            return diverged_at
        on_step(step + 1)
        if checkpoints is not None:
            checkpoints.after_step(run)
    return None


def find_divergence(losses: list[Tensor], step: int, steps: int) -> int | None:
    """The step at which the loss stopped being a number, where this step is one to look after."""
    if step % _LOOK != _LOOK - 1 and step + 1 != steps:
        return None
    begin = step // _LOOK * _LOOK
    bad = (~torch.isfinite(torch.stack(losses[begin:]))).nonzero()
    return begin + int(bad[0]) if len(bad) else None


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    batch: Mapping[str, Tensor],
    recipe: Training,
    step: int,
    share: float = 1.0,
) -> Float[Tensor, ""]:
    """One optimiser step; returns ``share`` times the loss before it, detached and still on its device."""
    with precision(recipe, next(iter(batch.values())).device):
        loss = task.loss(model, batch)
    if share != 1.0:
        loss = loss * share
    loss.backward()
    if recipe.clip:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    step_optimizer(optimizer, recipe, step)
    return loss.detach()


def step_optimizer(optimizer: torch.optim.Optimizer, recipe: Training, step: int) -> None:
    """Change the weights at the learning rate of this step, and forget the gradients."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step)
    optimizer.step()
    optimizer.zero_grad()


def precision(recipe: Training, device: torch.device) -> torch.autocast:
    """Where the forward pass of a step runs: in float32, or with its products in bfloat16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bf16")


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
