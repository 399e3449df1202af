"""Angles of positions: what sinusoidal and rotary encodings share.

Everything is computed from integer positions in float64 (float32 on devices without it, MPS): in
float32 the angle of position 100,000 is off by up to 0.004, in bfloat16 position 257 does not exist.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def build_frequencies(
    width: int, *, theta: float = 10000.0, device: torch.device | str | None = None
) -> Float[Tensor, " pairs"]:
    """Radians a position for each pair of dimensions: ``theta ** (-2 i / width)``, largest first.

    Returns ``ceil(width / 2)`` numbers, float64 where the device has it.

    >>> build_frequencies(4, theta=100.0).tolist()
    [1.0, 0.1]
    """
    # built where it is used: a copy from the host would make the device wait
    return torch.pow(theta, torch.arange(0, width, 2, dtype=widest(device), device=device) / -width)


def build_angles(
    positions: Int64[Tensor, "*batch seq"], frequencies: Float[Tensor, " pairs"]
) -> Float[Tensor, "*batch seq pairs"]:
    """Angle in radians of each position and pair, in the dtype of ``frequencies``."""
    return positions[..., None].to(frequencies.dtype) * frequencies


def build_sinusoid(
    positions: Int64[Tensor, "*batch seq"],
    dim: int,
    *,
    theta: float = 10000.0,
    rms: float = math.sqrt(0.5),
) -> Float[Tensor, "*batch seq dim"]:
    """Sines and cosines in turn, of root mean square ``rms``; the default is the paper's amplitude 1.

    An odd ``dim`` leaves out the last cosine. Returns float32.

    Source: Vaswani et al. 2017, section 3.5. Differs: the scale is free, the last pair may be half.

    >>> build_sinusoid(torch.tensor([0]), 3).round(decimals=6).tolist()
    [[0.0, 1.0, 0.0]]
    """
    angles = build_angles(positions, build_frequencies(dim, theta=theta, device=positions.device))
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)[..., :dim]
    return (waves * (rms * math.sqrt(2.0))).float()


def widest(device: torch.device | str | None) -> torch.dtype:
    """float64, or float32 on the device that has none (MPS)."""
    return torch.float32 if device is not None and torch.device(device).type == "mps" else torch.float64
