"""Published ways to stretch rotary frequencies, so that a trained model reads longer inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float64
from torch import Tensor

from milepost.encodings.angles import build_frequencies
from milepost.errors import OptionError
from milepost.spec import Spec, Value

SCALINGS: Mapping[str, Mapping[str, Value]] = {
    "none": {},
    "linear": {"factor": 2.0},
    "ntk": {"factor": 2.0},
    "yarn": {"factor": 2.0, "original": "auto", "beta_fast": 32.0, "beta_slow": 1.0},
}


def build_scaled(
    scaling: Spec, width: int, theta: float, original: int
) -> tuple[Float64[Tensor, " pairs"], float]:
    """Frequencies of each pair after scaling, and what cosines and sines are multiplied by.

    ``linear`` divides all frequencies by the factor; ``ntk`` raises the base so that the lowest
    frequency is divided by it and the highest stays; ``yarn`` divides those with fewer than
    ``beta_slow`` turns over the ``original`` length, keeps those with more than ``beta_fast``, goes
    over linearly between, and sharpens the scores a little.

    Args:
        scaling: with complete options.
        width: dimensions that turn.
        theta: base before scaling.
        original: positions the model was trained with, unless the spec says.

    Raises:
        OptionError: MP105, a factor below 1, or turns in the wrong order.

    Source: Chen et al. 2023 (position interpolation); NTK-aware scaling (bloc97 2023); Peng et al.
    2023 (YaRN), section 3, whose bounds are rounded to whole pairs, as in the authors' code.

    >>> build_scaled(Spec("linear", {"factor": 4.0}), 4, 100.0, 32)[0].tolist()
    [0.25, 0.025]
    """
    factor = float(str(scaling.options["factor"]))
    if not (math.isfinite(factor) and factor >= 1):
        raise OptionError("factor must be 1 or more", got=f"factor={factor:g}", fix="factor=2")
    # on the CPU by name: a model being built on the meta device has no numbers there
    plain = build_frequencies(width, theta=theta, device="cpu")
    if scaling.name == "linear":
        return plain / factor, 1.0
    if scaling.name == "ntk":
        if width < 4:
            raise OptionError("ntk needs two pairs or more", got=f"{width} dimensions", fix="scaling=linear")
        return build_frequencies(width, theta=theta * factor ** (width / (width - 2)), device="cpu"), 1.0
    length = scaling.options["original"]
    kept = _share_kept(scaling, width, theta, original if length == "auto" else float(str(length)))
    return plain / factor * (1 - kept) + plain * kept, 0.1 * math.log(factor) + 1.0


def _share_kept(scaling: Spec, width: int, theta: float, length: float) -> Tensor:
    """1 for pairs that keep their frequency, 0 for those that are interpolated."""
    fast, slow = (float(str(scaling.options[name])) for name in ("beta_fast", "beta_slow"))
    if not (fast > slow > 0 and length >= 1):
        raise OptionError(
            "yarn needs beta_fast above beta_slow, both positive, and an original length",
            got=f"beta_fast={fast:g}, beta_slow={slow:g}, original={length:g}",
            fix="beta_fast=32, beta_slow=1",
        )
    low, high = (
        width * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta)) for turns in (fast, slow)
    )
    first, last = max(math.floor(low), 0), min(math.ceil(high), width - 1)
    pairs = torch.arange(width // 2, dtype=torch.float64, device="cpu")
    return 1 - ((pairs - first) / max(last - first, 0.001)).clamp(0, 1)
