"""How the trials of a sweep are spread over processes, machines and batches of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from milepost.errors import OptionError, UnknownName

if TYPE_CHECKING:
    from milepost.comparison.design import Design

STRATEGIES = ("ddp", "fsdp2")


@dataclass(frozen=True)
class Scale:
    """How trials are spread; by default one process of one thread trains one trial.

    Args:
        batch_seeds: most seeds of one encoding that train at once as a batch of models.
        distributed: how the processes of one trial work together: ``ddp`` or ``fsdp2``.
        processes_per_trial: of those processes; each takes an equal part of every batch.
        ray: address of a Ray cluster that runs the trials; empty is the one that ``RAY_ADDRESS`` names, or else
            one on this machine; ``None`` runs them without Ray.
        gpus_per_trial: that Ray reserves for a trial; a share lets several trials have one.
    """

    batch_seeds: int = 1
    distributed: str = "ddp"
    processes_per_trial: int = 1
    ray: str | None = None
    gpus_per_trial: float = 0.0

    def __post_init__(self) -> None:
        if self.distributed not in STRATEGIES:
            raise UnknownName.among("way to share a trial", self.distributed, STRATEGIES)
        for name in ("batch_seeds", "processes_per_trial", "gpus_per_trial"):
            if getattr(self, name) < (least := 0 if name == "gpus_per_trial" else 1):
                shown = name.replace("_", "-")
                raise OptionError(
                    f"--{shown} must be at least {least}", got=str(getattr(self, name)), fix="leave it out"
                )
        if self.batch_seeds > 1 and self.processes_per_trial > 1:
            raise OptionError(
                "a batch of models is trained by one process",
                got="batch-seeds and processes-per-trial",
                fix="leave one of them out",
            )
        if self.gpus_per_trial and self.ray is None:
            raise OptionError(
                "Ray hands out devices, workers here share one",
                got="gpus-per-trial without ray",
                fix="add --ray, or leave --gpus-per-trial out",
            )

    def check(self, design: Design) -> None:
        """Refuse a design that cannot be trained like this.

        Raises:
            OptionError: MP105.
        """
        if design.training.batch % self.processes_per_trial:
            raise OptionError(
                "the processes of a trial take equal parts of each batch",
                got=f"batch {design.training.batch}, {self.processes_per_trial} processes",
                fix=f"for example --batch {self.processes_per_trial * max(1, design.training.batch // self.processes_per_trial)}",
            )
        if self.batch_seeds > 1 and design.training.compile:
            raise OptionError(
                "a batch of models is not compiled",
                got="batch-seeds and compile",
                fix="leave one of them out",
            )

    def environment(self) -> dict[str, Any]:
        """What of this decides bits; recorded beside versions and threads."""
        found: dict[str, Any] = {}
        if self.batch_seeds > 1:
            found["models_at_once"] = self.batch_seeds
        if self.processes_per_trial > 1:
            found |= {"distributed": self.distributed, "processes_per_trial": self.processes_per_trial}
        return found
