"""Every random state that training may draw from."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python; at the end they are as they were.

    >>> with seeded(3, torch.device("cpu")):
    ...     first = torch.rand(1), random.random()
    >>> with seeded(3, torch.device("cpu")):
    ...     first == (torch.rand(1), random.random())
    True
    """
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def read_states(device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of all global generators: torch's as tensors, the others as plain JSON."""
    tensors = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    name, keys, *rest = np.random.get_state(legacy=True)
    return tensors, {"python": random.getstate(), "numpy": [name, keys.tolist(), *rest]}  # type: ignore[union-attr]


def write_states(device: torch.device, tensors: Mapping[str, Tensor], states: Mapping[str, Any]) -> None:
    """Put the global generators where :func:`read_states` found them."""
    torch.set_rng_state(tensors["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["cuda"], device)
    version, keys, gauss = states["python"]
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(states["numpy"]))
