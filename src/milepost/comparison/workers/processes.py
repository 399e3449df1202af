"""One trial over several processes: each takes an equal part of every batch; the first reads and writes.

The first process is the trial's worker. The others are started by it, or stand ready because the whole command runs
under ``torchrun``; they take orders from a store of torch's and end when the first one does.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
from torch import distributed

from milepost.comparison.trials.run import prepare_torch, read_task
from milepost.comparison.trials.team import Team
from milepost.comparison.trials.training import train
from milepost.comparison.workers.messages import Order
from milepost.errors import TrialFailed
from milepost.storage.processes import DEVNULL, Popen, start_python

_HOST = "127.0.0.1"
_LONG = timedelta(days=365)  # the others wait while the first one measures
_PAUSE_SECONDS = 0.05
_ORDERS = "milepost/orders"
_NO_MORE = "no more orders"


@contextlib.contextmanager
def assemble(order: Order) -> Iterator[Team]:
    """The team that trains the trial of an order, seen from its first process.

    Raises:
        TrialFailed: MP140, another process ended before it was ready.
    """
    device, processes = torch.device(order.running.device), order.running.scale.processes_per_trial
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
                        fix="check the installation with: python -P -m milepost.comparison.workers.processes",
                    )
            time.sleep(_PAUSE_SECONDS)
        with _join(store, order, device, 0, processes) as team:
            yield team


@contextlib.contextmanager
def _started(variables: dict[str, str]) -> Iterator[Popen[bytes]]:
    process = start_python(
        ["-m", "milepost.comparison.workers.processes"], variables=variables, stdin=DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _join(
    store: distributed.Store,
    order: Order,
    device: torch.device,
    rank: int,
    size: int,
    number: int = 0,
) -> Iterator[Team]:
    """The process group of one order; the first process gives it out, and a number with it."""
    if not number:
        number = store.add(_ORDERS, 1)
        store.set(f"{_ORDERS}/{number}", order.to_json())
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=distributed.PrefixStore(f"milepost/{number}", store),
        rank=rank,
        world_size=size,
    )
    try:
        yield Team(order.running.scale.distributed, device)
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
    store.set(f"{_ORDERS}/{store.add(_ORDERS, 1)}", _NO_MORE)


def serve() -> None:
    """Train along with the first process until it says that it was the last trial, or is gone."""
    prepare_torch()
    store = _orders()
    store.add(f"{_ORDERS}/ready", 1)
    number = 0
    while True:
        number += 1
        store.wait([f"{_ORDERS}/{number}"], _LONG)
        text = store.get(f"{_ORDERS}/{number}").decode()
        if text == _NO_MORE:
            return
        order = Order.from_json(text)
        trial, device = order.job.trial, torch.device(order.running.device)
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        with _join(store, order, device, *_own_place(), number) as team:
            train(trial, read_task(trial), device, lambda _: None, team=team)


if __name__ == "__main__":
    serve()
