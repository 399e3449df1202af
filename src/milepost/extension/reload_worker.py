"""Run as a program: load a model before and after its extension with transformers, and compare what they say.

The task comes as JSON on standard input, the checks go as JSON to standard output.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from milepost.models import load
from milepost.tables import PREFIX

_SHORT = 8  # tokens for the side that is not measured


def measure(task: dict[str, Any]) -> list[dict[str, str]]:
    """Load both, compare keys, compare outputs within the old length, run the new one at its full length."""
    old, old_info = _load(task["old_folder"])
    try:
        new, new_info = _load(task["new_folder"])
    except Exception as error:  # transformers raises anything for what does not fit
        return [_check("reload", "failed", _brief(error))]
    keys = {
        name: sorted(_names(new_info.get(name, ())) - _names(old_info[name]))
        for name in ("missing_keys", "mismatched_keys", "unexpected_keys")
    }
    if wrong := {name: found[:4] for name, found in keys.items() if found}:
        return [_check("reload", "failed", json.dumps(wrong))]
    checks = [
        _check("reload", "passed", f"{type(new).__name__}: no key is missing, left over or of another shape")
    ]
    return checks + _compare(old, new, task)


def _compare(old: Any, new: Any, task: dict[str, Any]) -> list[dict[str, str]]:
    """Outputs of both within the old length, then a forward pass of the new one."""
    within = min(task["old"], task["new"]) if isinstance(task["old"], int) else task["old"]
    full = task["new"]
    try:
        if (
            within != task["old"]
        ):  # where the old model stops short of its own limit, a shorter one does of its
            _outputs(old, _inputs(old, task["old"], task["role"]))
        before = _outputs(old, _inputs(old, within, task["role"]))
    except Exception as error:  # a model may want inputs that nobody can guess
        try:
            within, full = within - 1, full - 1  # ProphetNet reads one position further than it has tokens
            before = _outputs(old, _inputs(old, within, task["role"]))
        except Exception:
            why = f"the old model does not run on plain inputs: {_brief(error)}"
            return [_check(name, "not_applicable", why) for name in ("old_outputs", "forward")]
    checks = [
        _check(
            "old_outputs",
            "not_applicable",
            "this method changes old rows, or the model reads one length alone",
        )
    ]
    if task["same_outputs"]:
        after = _outputs(new, _inputs(old, within, task["role"]))
        same = len(before) == len(after) > 0 and all(map(torch.equal, before, after))
        status, word = ("passed", "bit-identical") if same else ("failed", "different")
        checks = [_check("old_outputs", status, f"{len(before)} outputs at length {within}: {word}")]
    try:
        values = _outputs(new, _inputs(new, full, task["role"]))
    except Exception as error:
        return [*checks, _check("forward", "failed", f"at length {full}: {_brief(error)}")]
    finite = all(bool(torch.isfinite(value).all()) for value in values if value.is_floating_point())
    status, word = ("passed", "finite outputs") if finite else ("failed", "outputs that are not finite")
    return [*checks, _check("forward", status, f"at length {full}: {word}")]


def _load(folder: str) -> tuple[Any, dict[str, Any]]:
    kind = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("model_type")
    if str(kind).startswith(PREFIX):  # refused by transformers on purpose
        return _apart(load(folder, dtype=torch.float32)), {}
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    named: Any = getattr(transformers, (config.architectures or [""])[0], None)
    cls = named if hasattr(named, "from_pretrained") else transformers.AutoModel
    model, info = cls.from_pretrained(
        folder, output_loading_info=True, local_files_only=True, dtype=torch.float32
    )
    return _apart(model.eval()), info


def _apart(model: Any) -> Any:
    """The model with each weight where memory is aligned."""
    for parameter in model.parameters():
        # a file's tensors may start anywhere, and matrix products differ in the last bit by where they start
        parameter.data = parameter.data.clone()
    return model


def _names(keys: Any) -> set[str]:
    return {key if isinstance(key, str) else key[0] for key in keys}


def _inputs(model: Any, length: Any, role: str) -> dict[str, Tensor]:
    """Plain inputs of a length: random tokens, random pixels."""
    config = model.config
    accepted = inspect.signature(model.forward).parameters
    made: dict[str, Tensor] = {}
    tokens = length if isinstance(length, int) else _SHORT
    sides = role in ("encoder", "decoder") and config.is_encoder_decoder
    if "input_ids" in accepted:
        made["input_ids"] = _tokens(
            config, _SHORT if sides and role == "decoder" and _has_own(config) else tokens
        )
    if "input_features" in accepted:
        made["input_features"] = torch.zeros(1, config.num_mel_bins, 2 * config.max_source_positions)
    if "pixel_values" in accepted and (hasattr(config, "vision_config") or hasattr(config, "image_size")):
        size = (
            length
            if not isinstance(length, int)
            else _sides(getattr(config, "vision_config", config).image_size)
        )
        channels = getattr(getattr(config, "vision_config", config), "num_channels", 3)
        generator = torch.Generator().manual_seed(0)
        made["pixel_values"] = torch.randn(1, channels, *size, generator=generator)
    if config.is_encoder_decoder and "decoder_input_ids" in accepted:
        made["decoder_input_ids"] = _tokens(
            config, _SHORT if role == "encoder" and _has_own(config) else tokens
        )
    return made


def _has_own(config: Any) -> bool:
    """Whether encoder and decoder have lengths of their own."""
    return hasattr(config, "max_decoder_position_embeddings") or hasattr(config, "max_target_positions")


def _tokens(config: Any, length: int) -> Tensor:
    text = config.get_text_config()
    special = {
        getattr(text, name, None)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "mask_token_id")
    }
    plain = torch.tensor([token for token in range(min(text.vocab_size, 1000)) if token not in special])
    drawn = torch.randint(len(plain), (1, length), generator=torch.Generator().manual_seed(0))
    return plain[drawn]


def _sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[-2], size[-1])


@torch.no_grad()
def _outputs(model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    return list(_tensors(model(**inputs, return_dict=True).to_tuple()))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif hasattr(value, "to_tuple"):
        yield from _tensors(value.to_tuple())
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _check(name: str, status: str, detail: str) -> dict[str, str]:
    return {"name": name, "status": status, "detail": detail}


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
