"""Where and how the trials of a sweep run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch

from milepost.comparison.run_folder.folder import environment
from milepost.comparison.workers.scale import Scale
from milepost.errors import OptionError


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Running:
    """Where and how trials run. It travels to each worker.

    Args:
        device: a torch device.
        workers: processes at once, each with one thread.
        checkpoint_seconds: between two checkpoints of a trial; 0 is each step.
        scale: how trials are spread over processes and machines.
    """

    device: str = "cpu"
    workers: int = field(default_factory=available_processors)
    checkpoint_seconds: float = 30.0
    scale: Scale = field(default_factory=Scale)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise OptionError(
                "at least one worker is needed", got=str(self.workers), fix="--workers 1 or more"
            )

    def check_device(self) -> None:
        """Refuse a device that torch does not know, or does not find here; a cluster is not here.

        Raises:
            OptionError: MP105.
        """
        if self.scale.ray is not None:
            return
        try:
            torch.empty(1, device=self.device)
        except Exception as error:  # each kind of device fails in a way of its own
            raise OptionError(
                "torch cannot use this device",
                got=f"{self.device!a}: {' '.join(str(error).split())[:120]}",
                fix="--device cpu, or cuda where there is a GPU and a torch made for it",
            ) from None

    def environment(self, threads: int = 1) -> dict[str, Any]:
        """What decides bits in addition to the design, as the run folder records it."""
        return environment(self.device, threads) | self.scale.environment()

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Running:
        """Build it from the plain JSON of its fields."""
        return cls(**content | {"scale": Scale(**content["scale"])})
