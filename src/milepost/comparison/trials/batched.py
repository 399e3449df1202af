"""Many seeds of one encoding trained at once as a batch of models, each as if it were alone."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from milepost.comparison.design import Training, Trial
from milepost.comparison.trials.checkpoint import Checkpoints, Run, Stopped
from milepost.comparison.trials.model import build_model
from milepost.comparison.trials.peak_memory import StepMemory
from milepost.comparison.trials.randomness import seeded
from milepost.comparison.trials.training import (
    Trained,
    build_optimizer,
    find_divergence,
    precision,
    step_optimizer,
)
from milepost.tasks import Task
from milepost.tasks.task import to_device

_CLIP_EPSILON = 1e-6  # as torch's clip_grad_norm_


class CannotBatch(Exception):
    """These models cannot be a batch; they are as they were."""


@dataclass(frozen=True)
class _Member:
    """One trial of a batch; its model and the state of its optimiser are views into the batch."""

    trial: Trial
    run: Run
    checkpoints: Checkpoints


def train_together(
    trials: Sequence[Trial],
    task: Task,
    device: torch.device,
    on_step: Callable[[int], None],
    checkpoints: Sequence[Checkpoints],
) -> list[Trained]:
    """Train trials that differ in their seed alone, as a batch of models.

    Each sees the batches, and has the initial weights, the clipping and the optimiser state that it would have
    alone; sums are taken in another order, so that losses agree to about 1e-6 a step and not to the bit.
    Checkpoints are those of trials alone and the other way round; models that stand at different steps, which a
    kill between two writes leaves behind, train one step apart as batches of their own.

    Args:
        trials: of one design, encoding and setting.
        task: the data.
        device: where to train.
        on_step: called with the number of finished steps after each.
        checkpoints: of each trial.

    Returns:
        What each training left behind; ``seconds`` and ``peak_memory_bytes`` are its share.

    Raises:
        CannotBatch: torch cannot map over these models; nothing is changed.
        Stopped: ``checkpoints`` were asked to stop. FolderError: MP107. DiskFull: MP108.
    """
    found: dict[Trial, Trained] = {}
    with ExitStack() as watching:
        members = []
        for trial, kept in zip(trials, checkpoints, strict=True):
            model = build_model(trial, task).to(device).train()
            member = _Member(trial, Run(model, build_optimizer(model, trial.recipe)), kept)
            with seeded(trial.seed, device):
                watching.enter_context(kept.watch(member.run))
            members.append(member)
        for step in sorted({len(member.run.losses) for member in members}):
            level = [member for member in members if len(member.run.losses) == step]
            found |= _Batch(level, task, device).train(on_step)
    return [found[trial] for trial in trials]


class _Batch:
    """Models at the same step, their parameters stacked along a first axis ``models``."""

    def __init__(self, members: Sequence[_Member], task: Task, device: torch.device) -> None:
        self._members, self._task, self._device = tuple(members), task, device
        self._going = dict(enumerate(members))  # those that have not diverged
        self._recipe: Training = members[0].trial.recipe
        models = [dict(member.run.model.named_parameters()) for member in members]
        self._stacks = {
            name: torch.stack([model[name].detach() for model in models]).requires_grad_(first.requires_grad)
            for name, first in models[0].items()
        }
        self._check_buffers()
        # a copy, whose buffers go on changing while members end one after another
        self._objective = _Objective(copy.deepcopy(members[0].run.model), task)
        for place, model in enumerate(models):
            for name, parameter in model.items():
                parameter.data = self._stacks[name].detach()[place]
        self._optimizer = self._stack_optimizer()

    def _check_buffers(self) -> None:
        first, *others = (dict(member.run.model.named_buffers()) for member in self._members)
        for name, buffer in first.items():
            if not all(torch.equal(buffer, other[name]) for other in others):
                raise CannotBatch(f"the buffer {name} differs between seeds")

    @torch.no_grad()
    def _share_buffers(self, member: _Member) -> None:
        """Give a member the buffers that all have in common: torch refuses to map over those that would differ."""
        shared = dict(self._objective.model.named_buffers())
        for name, buffer in member.run.model.named_buffers():
            buffer.copy_(shared[name])

    def _stack_optimizer(self) -> torch.optim.Optimizer:
        """One AdamW over the stacks, of whose state that of each member becomes a view."""
        first = self._members[0].run
        names = {id(parameter): name for name, parameter in first.model.named_parameters()}
        groups = [
            {**group, "params": [self._stacks[names[id(p)]] for p in group["params"]]}
            for group in first.optimizer.param_groups
        ]
        optimizer = torch.optim.AdamW(groups, fused=True)
        optimizers = [member.run.optimizer for member in self._members]
        for places in zip(*(_parameters(one) for one in (optimizer, *optimizers)), strict=True):
            stack, *parts = places
            if not stack.requires_grad:
                continue
            states = [one.state[part] for one, part in zip(optimizers, parts, strict=True)]
            begun = "step" in states[0]
            whole = {
                name: torch.stack([state[name] for state in states]) if begun else torch.zeros_like(stack)
                for name in ("exp_avg", "exp_avg_sq")
            }
            step = states[0]["step"] if begun else torch.zeros((), device=stack.device)
            optimizer.state[stack] = {"step": step, **whole}
            for place, state in enumerate(states):
                state.update({"step": step, **{name: value[place] for name, value in whole.items()}})
        return optimizer

    def train(self, on_step: Callable[[int], None]) -> dict[Trial, Trained]:
        """Take the steps that are left."""
        found: dict[Trial, Trained] = {}
        begin, first = time.perf_counter(), len(self._members[0].run.losses)

        def finish(member: _Member, diverged_at: int | None) -> None:
            seconds = (member.run.seconds + time.perf_counter() - begin) / len(self._members)
            self._share_buffers(member)
            found[member.trial] = _conclude(member.run, diverged_at, seconds)

        memory = StepMemory(self._held, self._device)
        for step in range(first, self._recipe.steps):
            try:
                with memory.step():
                    losses = self._take_step(step)
            except (RuntimeError, ValueError, NotImplementedError, TypeError) as error:
                if step > first:
                    raise
                raise CannotBatch(str(error).split("\n")[0][:200]) from error
            for place, member in tuple(self._going.items()):
                share = memory.peak_bytes // len(self._members)
                member.run.peak_memory_bytes = max(member.run.peak_memory_bytes, share)
                member.run.losses.append(losses[place])
                diverged_at = find_divergence(member.run.losses, step, self._recipe.steps)
                if diverged_at is not None:
                    finish(self._going.pop(place), diverged_at)
            if not self._going:
                break
            on_step(step + 1)
            self._write_checkpoints()
        for member in self._going.values():
            finish(member, None)
        return found

    def _held(self) -> Iterator[Tensor]:
        yield from self._stacks.values()
        for state in self._optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))

    def _take_step(self, step: int) -> Tensor:
        """One step of all models; returns their losses before it, shape ``(models,)``."""
        losses = self._losses(step)
        losses.sum().backward()
        gradients = [stack.grad for stack in self._stacks.values() if stack.grad is not None]
        if self._recipe.clip:
            _clip_each(gradients, self._recipe.clip)
        step_optimizer(self._optimizer, self._recipe, step)
        return losses.detach()

    def _losses(self, step: int) -> Tensor:
        batches = [
            self._task.batch(one.trial.seed, step, self._recipe.batch, one.trial.design.train_length)
            for one in self._members
        ]
        for place, member in self._going.items():
            member.run.see(batches[place])
        stacked = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}

        def loss(parameters: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
            named = {f"model.{name}": value for name, value in parameters.items()}
            found: Tensor = functional_call(self._objective, named, (batch,), tie_weights=True)
            return found

        # the fused kernel of the CPU cannot be mapped; torch's plain one is matrix products, which can
        with precision(self._recipe, self._device), sdpa_kernel(SDPBackend.MATH):
            mapped: Tensor = vmap(loss)(self._stacks, to_device(stacked, self._device))
        return mapped

    def _write_checkpoints(self) -> None:
        """All members at the same step, so that they go on together."""
        going = self._going.values()
        if not any(member.checkpoints.is_due() for member in going):
            return
        stopped = None
        for member in going:
            self._share_buffers(member)
            try:
                with seeded(member.trial.seed, self._device):  # nothing was drawn since: vmap refuses it
                    member.checkpoints.after_step(member.run, due=True)
            except Stopped as error:
                stopped = error
        if stopped is not None:
            raise stopped


class _Objective(nn.Module):
    """A model and the loss of its task as one module, whose parameters can be given from outside."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self._task = task

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self._task.loss(self.model, batch)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _clip_each(gradients: Sequence[Tensor], most: float) -> None:
    """Scale the gradients of each model to a norm of at most ``most``, in place; the first axis is the models."""
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    factors = (most / (torch.linalg.vector_norm(norms, dim=0) + _CLIP_EPSILON)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


def _conclude(run: Run, diverged_at: int | None, seconds: float) -> Trained:
    for parameter in run.model.parameters():
        parameter.data = parameter.data.clone()  # its own again: the batch may go on
    curve = torch.stack(run.losses).tolist()
    return Trained(run.model.eval(), curve, run.batches[:16], diverged_at, seconds, run.peak_memory_bytes)
