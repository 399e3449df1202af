"""Checkpoints inside a trial: training goes on from one as if it had never stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from milepost.comparison.trials.randomness import read_states, write_states
from milepost.errors import FolderError
from milepost.storage.files import durable
from milepost.storage.records import compare_records

_KEPT = 2
_LARGEST_SHARE = 0.02  # of the time, that writing may take
_NAME = re.compile(r"checkpoint-(\d+)\.([0-9a-f]{64})\.safetensors")
"""Steps that are done, and the SHA-256 of the file."""


class Stopped(Exception):
    """Training was asked to stop, and has left a checkpoint."""


@dataclass
class Run:
    """A model in training, and all that its next steps depend on besides the trial.

    Args:
        model: on its device.
        optimizer: of the model.
        losses: of each step so far, on the device.
        batches: chained hash of the batches so far, hexadecimal.
        seconds: that steps took in processes before this one.
        peak_memory_bytes: that training takes.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    losses: list[Tensor] = field(default_factory=list)
    batches: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int = 0

    def see(self, batch: Mapping[str, np.ndarray]) -> None:
        """Add a batch to the chained hash."""
        chained = hashlib.sha256(self.batches.encode())
        for name in sorted(batch):
            chained.update(batch[name].tobytes())
        self.batches = chained.hexdigest()


class Checkpoints:
    """The checkpoints of one trial; two are kept, the files name their own hash.

    Args:
        folder: where they lie; nobody else writes there.
        environment: what decides bits besides the trial; a checkpoint of another one is refused.
        every_seconds: between two of them; 0 writes one after each step. Where writing is slow there are fewer,
            so that it takes at most a fiftieth of the time.
        on_event: told of what happens, by name and with facts.
    """

    def __init__(
        self,
        folder: Path,
        environment: dict[str, Any],
        *,
        every_seconds: float,
        on_event: Callable[..., None],
    ) -> None:
        self._folder, self._environment, self._on_event = folder, environment, on_event
        self._every_seconds = every_seconds
        self._stopping = self._watching = False

    def stop(self) -> bool:
        """Ask training to stop after its present step; False where nothing is in training. Safe in a signal handler."""
        self._stopping = self._watching
        return self._watching

    @contextlib.contextmanager
    def watch(self, run: Run) -> Iterator[None]:
        """Put ``run`` where its newest whole checkpoint is; within, :meth:`after_step` writes others.

        Raises:
            FolderError: MP107, a checkpoint of another environment.
        """
        self._restore(run)
        self._begin = time.perf_counter()
        self._due = time.monotonic() + self._every_seconds
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._stopping or time.monotonic() >= self._due

    def after_step(self, run: Run, *, due: bool = False) -> None:
        """Write a checkpoint where it is time, or where it is said to be ``due``.

        Raises:
            Stopped: a stop was asked for; the checkpoint is written.
            FolderError: MP107. DiskFull: MP108.
        """
        if not (due or self.is_due()):
            return
        now = time.monotonic()
        self._write(run)
        end = time.monotonic()
        pause = max(self._every_seconds, (end - now) / _LARGEST_SHARE)
        self._due = end + (pause if self._every_seconds else 0.0)
        if self._stopping:
            raise Stopped

    def remove(self) -> None:
        """Remove them all: the trial is done."""
        for path in self._find():
            path.unlink()

    def _find(self) -> list[Path]:
        """All checkpoints, the newest first."""
        found = [
            (int(name[1]), path) for path in self._folder.glob("*") if (name := _NAME.fullmatch(path.name))
        ]
        return [path for _, path in sorted(found, reverse=True)]

    def _write(self, run: Run) -> None:
        device = run.losses[0].device
        random_tensors, random_states = read_states(device)
        tensors = {
            **{f"model.{name}": value for name, value in _weights(run.model)},
            **{f"optimizer.{place}.{name}": value for place, name, value in _moments(run.optimizer)},
            **{f"random.{name}": value for name, value in random_tensors.items()},
            "losses": torch.stack(run.losses),
        }
        state = {
            "batches": run.batches,
            "seconds": run.seconds + time.perf_counter() - self._begin,
            "peak_memory_bytes": run.peak_memory_bytes,
            "environment": self._environment,
            "random": random_states,
        }
        # copies: safetensors takes no tensors that share memory
        copied = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        content = save(copied, {"state": json.dumps(state)})
        name = f"checkpoint-{len(run.losses)}.{hashlib.sha256(content).hexdigest()}.safetensors"
        with durable(self._folder / name) as beside:
            beside.write_bytes(content)
        for path in self._find()[_KEPT:]:
            path.unlink()
        self._on_event("checkpoint", step=len(run.losses))

    def _restore(self, run: Run) -> None:
        for path in self._find():
            content = path.read_bytes()
            name = _NAME.fullmatch(path.name)
            assert name is not None
            if hashlib.sha256(content).hexdigest() == name[2]:
                _fill(run, load(content), self._read_state(content))
                self._on_event("resumed", step=len(run.losses))
                return
            path.unlink()
            self._on_event("damaged", file=path.name)
        self._on_event("begun")

    def _read_state(self, content: bytes) -> dict[str, Any]:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        state: dict[str, Any] = json.loads(header["__metadata__"]["state"])
        differences = compare_records(state["environment"], self._environment)
        if differences:
            raise FolderError(
                "a checkpoint here was written under another environment",
                got=f"{self._folder}: {'; '.join(differences)}",
                fix="go back to that environment, or start again with --restart",
            )
        return state


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All parameters and buffers, those that ``state_dict`` leaves out too; tied ones once."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _moments(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, str, Tensor]]:
    for place, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            yield place, name, value


@torch.no_grad()
def _fill(run: Run, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    losses = tensors["losses"]
    device = next(run.model.parameters()).device
    for name, value in _weights(run.model):
        value.copy_(tensors[f"model.{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, place, name = key.split(".", 2)
            moments.setdefault(int(place), {})[name] = value
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    run.losses[:] = losses.to(device).unbind()
    run.batches, run.seconds = state["batches"], state["seconds"]
    run.peak_memory_bytes = state["peak_memory_bytes"]
    found = {
        name.removeprefix("random."): value for name, value in tensors.items() if name.startswith("random.")
    }
    write_states(device, found, state["random"])
