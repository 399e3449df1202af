"""One trial over several processes: each takes an equal part of every batch; the first reads and writes.

The first process is the trial's worker. The others are started by it, or stand ready because the whole command runs
under ``torchrun``; they take orders from a store of torch's and end when the first one does.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from milepost.comparison.checkpoint import Run
from milepost.comparison.design import Trial
from milepost.encodings.table import PositionTable
from milepost.errors import TrialFailed
from milepost.storage.processes import DEVNULL, Popen, start_python
from milepost.tasks.task import Batch

_HOST = "127.0.0.1"
_LONG = timedelta(days=365)  # the others wait while the first one measures
_PAUSE_SECONDS = 0.05
_ORDERS = "milepost/orders"


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
        """This process's rows of a batch, and what its loss counts beside the mean over processes."""
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
            if isinstance(table, PositionTable) and table.trained_counts is not None:
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


@contextlib.contextmanager
def assemble(trial: Trial, strategy: str, processes: int, device: torch.device) -> Iterator[Team]:
    """The team of a trial, seen from its first process.

    Raises:
        TrialFailed: MP140, another process ended before it was ready.
    """
    order = {"trial": trial.to_json(), "strategy": strategy, "device": device.type}
    if under_torchrun():
        with _join(_orders(), order, device, *_own_place()) as team:
            yield team
        return
    store = distributed.TCPStore(_HOST, 0, is_master=True, wait_for_workers=False, timeout=_LONG)
    place = {"MASTER_ADDR": _HOST, "MASTER_PORT": str(store.port), "WORLD_SIZE": str(processes)}
    with contextlib.ExitStack() as stack:
        others = [
            stack.enter_context(_started(place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}))
            for rank in range(1, processes)
        ]
        while store.add(f"{_ORDERS}/ready", 0) < len(others):
            for other in others:
                if other.poll() is not None:
                    raise TrialFailed(
                        "a process of the trial cannot start",
                        got=f"exit code {other.returncode}",
                        fix="check the installation with: python -P -m milepost.comparison.distributed",
                    )
            time.sleep(_PAUSE_SECONDS)
        with _join(store, order, device, 0, processes) as team:
            yield team


@contextlib.contextmanager
def _started(variables: dict[str, str]) -> Iterator[Popen[bytes]]:
    process = start_python(["-m", "milepost.comparison.distributed"], variables=variables, stdin=DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _join(
    store: distributed.Store,
    order: dict[str, Any],
    device: torch.device,
    rank: int,
    size: int,
    number: int = 0,
) -> Iterator[Team]:
    """The process group of one order; the first process gives it out, and a number with it."""
    if not number:
        number = store.add(_ORDERS, 1)
        store.set(f"{_ORDERS}/{number}", json.dumps(order))
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=distributed.PrefixStore(f"milepost/{number}", store),
        rank=rank,
        world_size=size,
    )
    try:
        yield Team(order["strategy"], device)
    finally:
        distributed.destroy_process_group()


def under_torchrun() -> bool:
    """Whether this process, or the one that started it, is one of torchrun's."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _own_place() -> tuple[int, int]:
    """Rank and number of processes, as torchrun says them."""
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _orders() -> distributed.Store:
    """Where orders are given out: a store that the first process, or torchrun, keeps."""
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return distributed.TCPStore(*place, is_master=False, timeout=_LONG)


def dismiss() -> None:
    """Send the other processes of torchrun home."""
    store = _orders()
    store.set(f"{_ORDERS}/{store.add(_ORDERS, 1)}", json.dumps(None))


def serve() -> None:
    """Train along with the first process until it says that it was the last trial, or is gone."""
    from milepost.comparison.training import train
    from milepost.comparison.worker import prepare_torch, read_task

    prepare_torch()
    store = _orders()
    store.add(f"{_ORDERS}/ready", 1)
    number = 0
    while True:
        number += 1
        store.wait([f"{_ORDERS}/{number}"], _LONG)
        order = json.loads(store.get(f"{_ORDERS}/{number}"))
        if order is None:
            return
        trial = Trial.from_json(order["trial"])
        device = torch.device(order["device"])
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        with _join(store, order, device, *_own_place(), number) as team:
            train(trial, read_task(trial), device, lambda _: None, team=team)


if __name__ == "__main__":
    serve()
