"""How ``milepost compare`` spreads its trials, and what it does in each process of torchrun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_TORCHRUN = "TORCHELASTIC_RUN_ID"


def under_torchrun() -> dict[str, int]:
    """Options that torchrun decides: its processes share one trial at a time."""
    if _TORCHRUN not in os.environ:
        return {}
    return {"processes_per_trial": int(os.environ["WORLD_SIZE"]), "workers": 1}


@contextlib.contextmanager
def leading() -> Iterator[bool]:
    """Whether this process is to do the comparison; other processes of torchrun train along, and then it is over."""
    if _TORCHRUN not in os.environ:
        yield True
        return
    from milepost.comparison.workers.processes import dismiss, serve

    if int(os.environ["RANK"]):
        serve()
        yield False
        return
    try:
        yield True
    finally:
        dismiss()
