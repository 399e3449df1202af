"""Everything of transformers that its documentation does not promise and Milepost relies on, in one place.

Each name says in which versions it was checked and what breaks when it changes. ``tests/models/
test_transformers_private.py`` has a test for each, and :mod:`milepost.models.check.self_test` runs the ones
that change answers on versions that nobody has tested.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from torch import Tensor, nn
from transformers import Cache, EncoderDecoderCache, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, flex_attention_mask, sdpa_mask
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL_LM_CLASSES
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED_LM_CLASSES

from milepost.errors import SwapRefused

__all__ = [
    "CACHE_ARGUMENTS",
    "CAUSAL_LM_CLASSES",
    "KNOWN_ARGUMENTS",
    "MASKED_LM_CLASSES",
    "cache_argument",
    "check_arguments",
    "clear_weight_conversions",
    "eager_attention",
    "eager_mask",
    "find_cache",
    "flex_attention_forward",
    "flex_attention_mask",
    "layer_of",
    "make_config_class",
    "make_model",
    "no_init_weights",
    "output_cache",
    "parameter_names",
    "parameter_names_of",
    "read_attention",
    "sdpa_attention_forward",
    "sdpa_mask",
    "supports_sdpa",
    "transformers_version",
    "write_attention",
]

CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names of the argument that holds a cache: ``past_key_values`` up to 5.23, ``cache`` since 5.24."""

KNOWN_ARGUMENTS = frozenset(
    {
        # read by the hook, or decide nothing about position
        "attention_mask", "input_ids", "inputs_embeds", "position_ids", "pixel_values", "token_type_ids",
        "encoder_attention_mask", "encoder_hidden_states", "encoder_outputs",
        "bool_masked_pos", "interpolate_pos_encoding", "use_cache", "return_dict", "is_causal",
        "output_attentions", "output_hidden_states", "output_router_logits", "num_items_in_batch",
        # packed documents, read by flash attention alone; their positions come in position_ids
        "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx",
        *CACHE_ARGUMENTS,
    }
)  # fmt: skip
"""Arguments of the forward passes of all stacks in ``tables/families``, checked in 5.23.0 and 5.24.0."""


# ---- caches


def find_cache(arguments: Mapping[str, Any]) -> Cache | None:
    """The cache of the decoder's own tokens among the arguments of a call, by its type and under any name.

    Raises:
        SwapRefused: MP121, if a cache is of a type whose lengths have another meaning, if there are two
            caches, or if a cache argument holds something else.
    """
    found: list[Cache] = []
    for value in arguments.values():  # by ``is``: with ``id`` torch.compile compiles again for each cache
        if isinstance(value, Cache) and not any(value is one for one in found):
            found.append(value)
    for name in CACHE_ARGUMENTS:
        value = arguments.get(name)
        if value is not None and not isinstance(value, Cache):
            raise SwapRefused(
                "the cache of this call is of an unknown type",
                got=f"{name}: {type(value).__name__}",
                fix="pass a transformers Cache, such as DynamicCache()",
            )
    if len(found) > 1:
        raise SwapRefused(
            "the call has more than one cache, and Milepost cannot tell which one counts",
            got=", ".join(name for name, value in arguments.items() if isinstance(value, Cache)),
            fix="pass one cache",
        )
    cache = found[0] if found else None
    if isinstance(cache, EncoderDecoderCache):
        cache = cache.self_attention_cache
    if cache is not None and type(cache).get_query_offset is not Cache.get_query_offset:
        raise SwapRefused(
            "this kind of cache shifts the positions of its queries, which swapped models do not support",
            got=type(cache).__name__,
            fix="use DynamicCache or StaticCache",
        )
    return cache


def cache_argument(names: Collection[str]) -> str | None:
    """What a forward pass with parameters ``names`` calls its cache; ``None`` if it has none that is known."""
    return next((name for name in CACHE_ARGUMENTS if name in names), None)


def output_cache(output: Mapping[str, Any]) -> Cache | None:
    """The cache among the values of a model's output, under any name."""
    return next((value for value in output.values() if isinstance(value, Cache)), None)


# ---- arguments of a forward pass


def parameter_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the arguments of a model's forward pass, in order."""
    return parameter_names_of(type(model))


def parameter_names_of(cls: type[PreTrainedModel]) -> tuple[str, ...]:
    """The same of a model class.

    Decorators of transformers wrap ``forward`` with ``functools.wraps``, so that the signature is its own.
    """
    return tuple(inspect.signature(cls.forward).parameters)[1:]


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse an argument that Milepost does not know and that could carry a cache or positions.

    Flags and text cannot, nor can a cache itself, which is found under any name.

    Raises:
        SwapRefused: MP121, with the argument's name and the version of transformers.
    """
    for name in arguments.keys() - KNOWN_ARGUMENTS:
        value = arguments[name]
        if not isinstance(value, bool | float | str | Cache | None) and not name.startswith("milepost_"):
            raise SwapRefused(
                f"a swapped model does not know the argument {name!r}, which may carry positions or a cache",
                got=f"{name} of type {type(value).__name__}, transformers {transformers_version()}",
                fix="leave the argument out, or install a version of transformers that Milepost is tested with",
            )


def transformers_version() -> str:
    """The installed version."""
    return str(sys.modules["transformers"].__version__)


# ---- attention


def read_attention(config: PretrainedConfig) -> str | None:
    """The attention implementation of a config; transformers keeps it beside the saved fields."""
    return cast("str | None", config._attn_implementation)


def write_attention(config: PretrainedConfig, name: str) -> None:
    """Set the attention implementation of one config and of no other.

    The public setter goes through all sub-configs and refuses names by what stands in them ("flash").
    """
    config._attn_implementation_internal = name


def supports_sdpa(cls: type[PreTrainedModel]) -> bool:
    """Whether a model class can run scaled-dot-product attention."""
    return bool(cls._supports_sdpa)


def eager_attention(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]] | None:
    """A family's own eager attention: the function of this name in the module that defines its layers."""
    found = vars(sys.modules[type(module).__module__]).get("eager_attention_forward")
    return cast("Callable[..., tuple[Tensor, Tensor | None]] | None", found)


def layer_of(module: nn.Module) -> int:
    """Index of the cache's layer that an attention module writes to."""
    return int(cast(Any, module).layer_idx)


# ---- configs, weights, building


def make_config_class(stock: type[PretrainedConfig], mixin: type, **body: Any) -> type[PretrainedConfig]:
    """A config class whose methods ``mixin`` overrides; a config is moved to it by its ``__class__``."""
    return type(f"Milepost{stock.__name__}", (mixin, stock), body)


def clear_weight_conversions(model: PreTrainedModel) -> None:
    """Save a model's tensors under their own names.

    transformers saves some families under the names of older versions; ``load`` expects the model's own.
    """
    model.__dict__["_weight_conversions"] = []


def make_model(cls: type[PreTrainedModel], config: PretrainedConfig) -> PreTrainedModel:
    """A model with its config's attention implementation; weights as the class initialises them."""
    return cast(PreTrainedModel, cls._from_config(config, attn_implementation=read_attention(config)))
