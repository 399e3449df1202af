"""What torch is doing with a forward pass: computing numbers, or recording a graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses import FakeTensor


def is_traced() -> bool:
    """Whether a graph is being recorded: no value can be read, and nothing of this call may be kept."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_exported() -> bool:
    """Whether the graph is recorded once, for lengths that this call does not show.

    ``torch.compile`` guards what it assumes of a length and records again where that fails, so a length may be
    checked in it. ``torch.export``, ``torch.jit.trace`` and ONNX cannot.
    """
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers: one on the meta device, or of ``make_fx``, has a shape alone."""
    return tensor.device.type != "meta" and not isinstance(tensor, FakeTensor)


def is_at_host(tensor: Tensor) -> bool:
    """Whether a look at the values of a tensor waits for no device."""
    return tensor.device.type == "cpu"
