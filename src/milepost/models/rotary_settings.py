"""The rotary settings of a model of transformers, as specs of ``rotary``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from milepost.catalog.rotary import SCALINGS
from milepost.encodings.scaling import write_numbers
from milepost.spec import Spec, Value
from milepost.tables import Stack

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "linear": {"factor": "factor"},
    "dynamic": {"factor": "factor"},
    "yarn": {"factor": "factor", "beta_fast": "beta_fast", "beta_slow": "beta_slow"},
    "llama3": {"factor": "factor", "low": "low_freq_factor", "high": "high_freq_factor"},
    "longrope": {"factor": "factor"},
}
"""By scaling: Milepost's name of an option, and transformers'."""


def read_rotary(config: PretrainedConfig, stack: Stack) -> tuple[Spec, ...]:
    """The rotary settings of a model: one with all options, several where kinds of layers differ, or none.

    A scaling that Milepost does not know keeps its name, so that building it is an error.
    """
    rope = getattr(config, "rope_parameters", None)
    if stack.rotary is None or not rope:
        return ()
    kinds = [one for one in rope.values() if isinstance(one, Mapping)] or [rope]
    return tuple(dict.fromkeys(_read(one, config, stack) for one in kinds))


def _read(rope: Mapping[str, Any], config: PretrainedConfig, stack: Stack) -> Spec:
    partial = float(rope.get("partial_rotary_factor") or 1.0) if stack.partial else 1.0
    scaling = _scaling(rope, config)
    return Spec("rotary", {"theta": float(rope["rope_theta"]), "partial": partial, "scaling": scaling})


def _scaling(rope: Mapping[str, Any], config: PretrainedConfig) -> Spec:
    name = str(rope.get("rope_type") or "default")
    if name == "default":
        return Spec("none")
    if name not in _OPTIONS:
        return Spec(name)
    longest = config.max_position_embeddings
    # dynamic knows no original length but the config's own
    original = longest if name == "dynamic" else rope.get("original_max_position_embeddings") or longest
    options = {key: option.default for key, option in SCALINGS[name].items()}
    for ours, theirs in _OPTIONS[name].items():
        if rope.get(theirs) is not None:
            options[ours] = float(rope[theirs])
    if "original" in options:
        options["original"] = int(original)
    if name in ("yarn", "longrope"):
        if rope.get("factor") is None:
            options["factor"] = longest / original
        options["attention"] = _attention(rope)
    if name == "yarn":
        options["truncate"] = "on" if rope.get("truncate", True) else "off"
    if name == "longrope":
        options |= {kind: write_numbers(rope[f"{kind}_factor"]) for kind in ("short", "long")}
    return Spec(name, options)


def _attention(rope: Mapping[str, Any]) -> Value:
    """What scores are scaled by, where the settings say more than a factor."""
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    top, bottom = rope.get("mscale"), rope.get("mscale_all_dim")
    if not (top and bottom) or rope.get("factor") is None:
        return "auto"
    one, other = (
        0.1 * scale * math.log(rope["factor"]) + 1.0 if rope["factor"] > 1 else 1.0 for scale in (top, bottom)
    )
    return float(one / other)
