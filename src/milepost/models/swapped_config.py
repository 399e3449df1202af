"""The config of a swapped model: its own model type, and what was swapped in."""

from __future__ import annotations

import os
from typing import Any

from transformers import PretrainedConfig

from milepost.errors import SwapRefused
from milepost.models.transformers_private import make_config_class
from milepost.tables import PREFIX
from milepost.tables import RECORD as KEY

ROPE = "rope_parameters"
_CLASSES: dict[type[PretrainedConfig], type[PretrainedConfig]] = {}


class _Swapped:
    """Mixed into a family's config class: writes a model type that stock ``AutoModel`` refuses.

    The attention implementation is written too, which transformers itself leaves out: a stock class
    that is asked for the folder directly then raises for a name it does not know. Rotary families have
    no table whose missing rows would be noticed, so their rotary parameters go into the record, and in
    their place stands a type that no stock class can build.
    """

    def to_dict(self) -> dict[str, Any]:
        """The config as a dictionary, with what makes stock classes refuse it."""
        written = {**super().to_dict(), "attn_implementation": PREFIX + "sdpa"}  # type: ignore[misc]
        if (rope := written.get(ROPE)) is not None:
            written[KEY] = {**written[KEY], ROPE: rope}
            written[ROPE] = _spoil(rope)
        return written

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write config.json, unless nothing could read it back."""
        if getattr(self, KEY)["encoding"] is None:
            raise SwapRefused(
                "an encoding that was passed as a module has no spec to be rebuilt from",
                got="no spec",
                fix="swap with a spec string, then load the module's weights into model's encoding",
            )
        super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self).__mro__[2],), self.__dict__.copy()


def _spoil(rope: dict[str, Any]) -> dict[str, Any]:
    """Rotary parameters, or a set of them a layer type, of a type that does not exist."""
    nested = {name: _spoil(value) for name, value in rope.items() if isinstance(value, dict)}
    return {**rope, **nested, **({} if nested else {"rope_type": PREFIX + "none"})}


def _rebuild(stock: type[PretrainedConfig]) -> PretrainedConfig:
    cls = swapped_class(stock)
    return cls.__new__(cls)


def swapped_class(stock: type[PretrainedConfig]) -> type[PretrainedConfig]:
    """The config class of a family after a swap; one a family."""
    if issubclass(stock, _Swapped):
        return stock
    if stock not in _CLASSES:
        name = PREFIX + stock.model_type
        _CLASSES[stock] = make_config_class(stock, _Swapped, model_type=name, __module__=__name__)
    return _CLASSES[stock]
