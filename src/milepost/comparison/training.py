"""The one training loop: a trial in, a trained model and its losses out."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from milepost.comparison.building import build_model
from milepost.comparison.design import Training, Trial
from milepost.encodings import Encoding
from milepost.tasks import Task
from milepost.tasks.task import to_device

_STILL_IMPROVING = 0.05  # a loss that falls by more than this share over the last tenth of the steps


@dataclass(frozen=True)
class Trained:
    """What training left behind.

    Args:
        model: the trained model, in evaluation mode.
        losses: training loss of each step, nats a token.
        batch_hash: of all batches in their order; equal for all encodings of one seed.
        diverged_at: step at which the loss stopped being a number, or None.
        seconds: wall time of the loop alone.
    """

    model: nn.Module
    losses: list[float]
    batch_hash: str
    diverged_at: int | None
    seconds: float

    @property
    def settled(self) -> bool:
        """Whether the loss had stopped falling steeply when training ended."""
        tenth = max(1, len(self.losses) // 10)
        last, before = (
            np.mean(self.losses[-tenth:]),
            np.mean(self.losses[-2 * tenth : -tenth] or self.losses[:1]),
        )
        return bool(before - last <= _STILL_IMPROVING * before)


def train(trial: Trial, task: Task, device: torch.device, on_step: Callable[[int], None]) -> Trained:
    """Train one model from scratch, as the trial says.

    Args:
        trial: the encoding, the seed and the design.
        task: the data.
        device: where to train.
        on_step: called with the number of finished steps after each.
    """
    design, recipe = trial.design, trial.recipe
    model = build_model(trial, task)
    model.to(device).train()
    optimizer = build_optimizer(model, recipe)
    batches, losses, diverged_at = hashlib.sha256(), [], None
    begin = time.perf_counter()
    for step in range(recipe.steps):
        batch = task.batch(trial.seed, step, recipe.batch, design.train_length)
        for name in sorted(batch):
            batches.update(batch[name].tobytes())
        losses.append(take_step(model, optimizer, task, to_device(batch, device), recipe, step))
        on_step(step + 1)
        if (
            step % 50 == 49 or step + 1 == recipe.steps
        ):  # a look at the numbers waits for the device: not at each step
            bad = (~torch.isfinite(torch.stack(losses[step // 50 * 50 :]))).nonzero()
            if len(bad):
                diverged_at = step // 50 * 50 + int(bad[0])
                break
    curve = torch.stack(losses).tolist()
    return Trained(model.eval(), curve, batches.hexdigest()[:16], diverged_at, time.perf_counter() - begin)


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
