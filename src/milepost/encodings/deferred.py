"""Checks of positions on a device, put off until their values have arrived: nothing waits for the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from milepost.errors import PastTheEnd


class Deferred:
    """Extremes of the positions seen on a device, on their way to the host."""

    def __init__(self) -> None:
        self._pending: list[tuple[Tensor, torch.cuda.Event | None]] = []

    def __reduce__(self) -> tuple[object, ...]:
        return Deferred, ()  # a copied or pickled module starts with nothing pending

    def note(self, positions: Tensor) -> None:
        """Send the smallest and the largest of these positions to the host, without waiting for the device."""
        extremes = torch.stack(torch.aminmax(positions.detach()))
        if not positions.is_cuda:
            self._pending.append((extremes, None))
            return
        if torch.cuda.is_current_stream_capturing():
            return  # a captured graph replays without Python; the NaN still tells
        host = torch.empty(2, dtype=torch.int64, pin_memory=True)
        host.copy_(extremes, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(positions.device))
        self._pending.append((host, event))

    def poll(self, check: Callable[[int, int], None], *, wait: bool = False) -> None:
        """Give ``check`` the smallest and largest position of each call that has arrived, or of all when asked to wait."""
        while self._pending:
            extremes, event = self._pending[0]
            if event is None:
                if not wait and extremes.device.type != "cpu":
                    del self._pending[:-16]  # no event to ask: kept for an explicit check
                    return
            elif wait:
                event.synchronize()
            elif torch.cuda.is_current_stream_capturing() or not event.query():
                return  # CUDA forbids the question while a graph is captured
            del self._pending[0]
            try:
                check(*extremes.tolist())
            except PastTheEnd:
                self._pending.clear()  # one error a mistake, not one a call that followed it
                raise
