"""How much memory training takes: weights, the state of the optimizer, and what one step needs on top."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

_MEASURED = 3  # steps, after the first


class StepMemory:
    """Measures the memory of a few training steps.

    The first step is left out: it loads code and makes the state of the optimizer. Memory that earlier work in this
    process left behind is given back before each step, so that it is not taken for this one's, and writing
    checkpoints is not in it.

    Args:
        held: the tensors that training holds between steps: weights, buffers, state of the optimizer.
        device: where it trains.
    """

    def __init__(self, held: Callable[[], Iterable[Tensor]], device: torch.device) -> None:
        self._held, self._device = held, device
        self._steps = 0
        self.peak_bytes = 0
        """The most that a measured step took; 0 where none was measured."""

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Take one training step within."""
        self._steps += 1
        if not 1 < self._steps <= 1 + _MEASURED:
            yield
        elif self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            yield
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(self._device))
        else:
            held = sum(tensor.nbytes for tensor in self._held())
            give_back()
            reset_peak()
            before = _status_bytes("VmRSS")
            yield
            if before is not None:
                self.peak_bytes = max(self.peak_bytes, held + peak_bytes() - before)


def held_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """What training holds between steps."""
    yield from model.parameters()
    yield from model.buffers()
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def give_back() -> None:
    """Return freed memory to the system, where the C library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc


def reset_peak() -> None:
    """Let the high-water mark begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark begins anew


def peak_bytes() -> int:
    """The high-water mark of this process's memory."""
    found = _status_bytes("VmHWM")
    if found is not None:
        return found
    import resource  # absent on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(name: str) -> int | None:
    """A quantity of this process that Linux reports, or None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return None
