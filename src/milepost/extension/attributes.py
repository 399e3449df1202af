"""What the modules of a model keep of its size, found by building it before and after without memory for weights."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from milepost.errors import ExtendRefused
from milepost.extension.fields import Fields, Path

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def plan_attributes(
    model: PreTrainedModel, fields: Fields, made: Collection[str]
) -> list[tuple[nn.Module, str, Any]]:
    """The plain attributes of modules that another configuration makes others, with their new values.

    No attribute is known by its name: two models without weights are built, from the configuration as it is and as it
    will be, and compared.

    Args:
        model: left as it is.
        fields: of the configuration: path, old value, new value.
        made: names of the tensors that get another shape.

    Raises:
        ExtendRefused: MP123, when another tensor would change its shape, or a module is not as its class makes it.
    """
    old, new = _skeleton(model, ()), _skeleton(model, fields)
    shapes = dict(_shapes(old))
    moved = {name for name, shape in _shapes(new) if shapes.get(name) != shape}
    if moved != {name for name in made if name in shapes}:
        raise _refused(model, f"tensors of another shape: {sorted(moved)[:4]}, known: {sorted(made)[:4]}")
    before, present = dict(old.named_modules()), dict(model.named_modules())
    found = []
    for name, module in new.named_modules():
        was = _plain(before[name])
        for key, value in _plain(module).items():
            if was.get(key) == value:
                continue
            if name not in present or _plain(present[name]).get(key) != was.get(key):
                raise _refused(model, f"{name}.{key} is not what its class makes it")
            found.append((present[name], key, value))
    return found


def set_field(config: Any, path: Path, value: Any) -> None:
    """Set a field of a configuration or of a part of it."""
    for name in path[:-1]:
        config = config[name] if isinstance(config, dict) else getattr(config, name)
    setattr(config, path[-1], value)


def _skeleton(model: PreTrainedModel, fields: Fields) -> PreTrainedModel:
    config = copy.deepcopy(model.config)
    for path, _, value in fields:
        set_field(config, path, value)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return type(model)(config)


def _shapes(model: nn.Module) -> Iterator[tuple[str, torch.Size]]:
    for named in (model.named_parameters(), model.named_buffers()):
        yield from ((name, value.shape) for name, value in named)


def _plain(module: nn.Module) -> dict[str, Any]:
    """Attributes that are numbers, words, or tuples and lists of them."""
    return {key: value for key, value in vars(module).items() if not key.startswith("_") and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _refused(model: nn.Module, got: str) -> ExtendRefused:
    return ExtendRefused(
        "what else knows this model's size cannot be changed in memory",
        got=f"{type(model).__name__}: {got}",
        fix="save the model, then milepost extend FOLDER --to PIXELS",
    )
