"""How ``milepost compare`` spreads its trials, and what it does in each process of torchrun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milepost.comparison.workers.scale import Scale

_OPTIONS = ("batch_seeds", "distributed", "processes_per_trial", "ray", "gpus_per_trial")
_TORCHRUN = "TORCHELASTIC_RUN_ID"


def read_scale(options: dict[str, Any]) -> Scale:
    """Take the options that are about scale out of ``options``; torchrun's processes share each trial.

    Raises:
        OptionError: MP105. UnknownName: MP104.
    """
    from milepost.comparison.workers.scale import Scale

    chosen = {name: options.pop(name) for name in _OPTIONS}
    if _TORCHRUN in os.environ:
        chosen["processes_per_trial"] = int(os.environ["WORLD_SIZE"])
        options["workers"] = 1
    return Scale(**chosen)


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
