"""The processes that train one trial together: what each takes of a batch, and how they agree."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from milepost.comparison.trials.checkpoint import Run
from milepost.encodings.table import StoredPositions
from milepost.tasks.task import Batch


class Team:
    """The processes of one trial, seen from one of them; the process group is up.

    Args:
        strategy: ``ddp`` keeps a whole model in each process, ``fsdp2`` a part of each weight.
        device: of this process.
    """

    def __init__(self, strategy: str, device: torch.device) -> None:
        self._sharded, self._device = strategy == "fsdp2", device
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether each process has the whole state of training, for the first to write."""
        return not self._sharded

    def part(self, batch: Batch, weigh: Callable[[Batch], int]) -> tuple[Batch, float]:
        """This process's rows of a batch, and its share of the loss in the mean over processes."""
        rows = len(next(iter(batch.values()))) // self.size
        mine = {name: array[self.rank * rows : (self.rank + 1) * rows] for name, array in batch.items()}
        return mine, self.size * weigh(mine) / weigh(batch)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module to call in training; its gradients are means over all processes."""
        if not self._sharded:
            # each process changes its own buffers; ``whole`` brings the counts of rows together
            return nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self._device.type, (self.size,))
        for blocks in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
            for block in blocks:
                fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model

    def align(self, run: Run) -> None:
        """Bring every process to where the first one is: it may have read a checkpoint."""
        if self._sharded:
            return
        steps = torch.tensor(len(run.losses), device=self._device)
        distributed.broadcast(steps, 0)
        if not int(steps):
            return
        losses = torch.stack(run.losses) if self.rank == 0 else torch.zeros(int(steps), device=self._device)
        tensors = [losses, *(p.detach() for p in (*run.model.parameters(), *run.model.buffers()))]
        for group in run.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad:
                    tensors += _moments(run.optimizer.state[parameter], parameter)
        for tensor in tensors:
            distributed.broadcast(tensor, 0)
        run.losses[:] = losses.unbind()

    def mean(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The mean over all processes."""
        distributed.all_reduce(loss)
        return loss / self.size

    @torch.no_grad()
    def whole(self, model: nn.Module, fresh: nn.Module) -> nn.Module:
        """The trained model, whole; of one in parts the weights are gathered into ``fresh``.

        A row counts as used in as many passes as in the process that used it most.
        """
        for table in model.modules():
            if isinstance(table, StoredPositions) and table.trained_counts is not None:
                distributed.all_reduce(table.trained_counts, distributed.ReduceOp.MAX)
        if not self._sharded:
            return model
        fresh = fresh.to(self._device)
        for part, parameter in zip(model.parameters(), fresh.parameters(), strict=True):
            parameter.copy_(part.full_tensor())  # type: ignore[attr-defined]
        for buffer, kept in zip(model.buffers(), fresh.buffers(), strict=True):
            kept.copy_(buffer)
        return fresh


def _moments(state: dict[str, Tensor], parameter: Tensor) -> list[Tensor]:
    """The state of AdamW for one parameter, begun where there is none."""
    if "step" not in state:
        state["step"] = torch.zeros((), device=parameter.device)
        state |= {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
    return [state[name] for name in ("step", "exp_avg", "exp_avg_sq")]
