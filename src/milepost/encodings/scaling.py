"""Published ways to stretch rotary frequencies, so that a trained model reads longer inputs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from milepost.catalog.rotary import read_divisors
from milepost.options import SpecOptions
from milepost.spec import Spec

GROWING = ("dynamic", "longrope")
"""Scalings whose frequencies change when an input is longer than the original length."""


def build_scaled(
    scaling: Spec,
    width: int,
    theta: float,
    *,
    longest: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = "cpu",
) -> Float[Tensor, "*batch pairs"]:
    """Frequencies of each pair after scaling, in radians per position.

    The steps and their order are those of transformers, so that float32 gives its numbers bit for bit.

    - ``linear`` divides all frequencies by the factor.
    - ``ntk`` raises the base so that the lowest frequency is divided by the factor and the highest stays.
    - ``dynamic`` does so only for inputs longer than the original length, the more the longer they are.
    - ``yarn`` divides those with fewer than ``beta_slow`` turns over the original length, keeps those with
      more than ``beta_fast``, and goes over linearly between.
    - ``llama3`` divides those with fewer than ``low`` turns, keeps those with more than ``high``, and goes
      over linearly in the number of turns between.
    - ``longrope`` divides each by a number of its own: one of ``short``, or of ``long`` for inputs longer
      than the original length.

    Args:
        scaling: as ``check_scaling`` accepts it: with complete options, ``original`` a number.
        width: dimensions that turn.
        theta: base before scaling.
        longest: tokens in the input, for ``dynamic`` and ``longrope``, which without it are as for short ones.
        dtype: of the arithmetic.
        device: where to build.

    Source: Chen et al. 2023 (position interpolation); NTK-aware scaling (bloc97 2023) and its dynamic form
    (emozilla 2023); Peng et al. 2023 (YaRN), section 3, whose bounds are rounded to whole pairs, as in the
    authors' code; Llama team 2024, as in their code; Ding et al. 2024 (LongRoPE). Differs: ``dynamic`` depends
    on this input alone, where transformers keeps the base of the longest input it has seen until a short one.

    >>> build_scaled(Spec("linear", {"factor": 4.0}), 4, 100.0).tolist()
    [0.25, 0.025]
    """
    name, options = scaling.name, SpecOptions(scaling.options)
    shares = torch.arange(0, width, 2, dtype=dtype, device=device) / width
    if name == "none":
        return 1.0 / (theta**shares)
    if name == "longrope":
        divisors = read_divisors(options.word("short" if longest is None else "long"))
        given = torch.tensor(divisors, dtype=torch.float64, device="cpu")
        return 1.0 / (given.to(shares, non_blocking=True) * theta**shares)
    factor = options.number("factor")
    if name in ("ntk", "dynamic"):
        growth: Tensor | float = factor
        if name == "dynamic":
            original = options.number("original")
            length = original if longest is None else longest.to(dtype).clamp(min=original)
            growth = (factor * length / original) - (factor - 1)
        base = theta * growth ** (width / (width - 2))
        return 1.0 / (base**shares)
    if name == "yarn":
        powers = theta**shares
        kept = 1 - _ramp(options, width, theta, dtype).to(shares.device, non_blocking=True)
        return 1.0 / (factor * powers) * (1 - kept) + 1.0 / powers * kept
    plain = 1.0 / (theta**shares)
    if name == "linear":
        return plain / factor
    original, low, high = (options.number(option) for option in ("original", "low", "high"))
    wavelengths = 2 * math.pi / plain
    divided = torch.where(wavelengths > original / low, plain / factor, plain)
    smooth = (original / wavelengths - low) / (high - low)
    between = ~(wavelengths < original / high) & ~(wavelengths > original / low)
    return torch.where(between, (1 - smooth) * divided / factor + smooth * divided, divided)


def read_temperature(scaling: Spec) -> float:
    """What cosines and sines are multiplied by, so that scores over more keys stay sharp.

    >>> read_temperature(Spec("linear", {"factor": 4.0}))
    1.0
    """
    options = SpecOptions(scaling.options)
    if scaling.name not in ("yarn", "longrope"):
        return 1.0
    if options["attention"] != "auto":
        return options.number("attention")
    factor = options.number("factor", auto=1.0)
    if factor <= 1:
        return 1.0
    if scaling.name == "yarn":
        return 0.1 * math.log(factor) + 1.0
    return math.sqrt(1 + math.log(factor) / math.log(options.number("original")))


def write_numbers(numbers: list[float]) -> str:
    """A list of numbers as an option's value; it reads back bit for bit.

    >>> write_numbers([1.0, 1.25])
    '1.0 1.25'
    """
    return " ".join(repr(float(number)) for number in numbers)


def _ramp(options: SpecOptions, width: int, theta: float, dtype: torch.dtype) -> Tensor:
    """0 for pairs that keep their frequency, 1 for those that are interpolated."""
    length, fast, slow = (options.number(name) for name in ("original", "beta_fast", "beta_slow"))
    low, high = (
        width * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta)) for turns in (fast, slow)
    )
    if options["truncate"] == "on":
        low, high = math.floor(low), math.ceil(high)
    first, last = max(low, 0), min(high, width - 1)
    # on the CPU by name: a model being built on the meta device has no numbers there
    pairs = torch.arange(width // 2, dtype=dtype, device="cpu")
    return ((pairs - first) / (last - first or 0.001)).clamp(0, 1)
