"""Attention functions that let an encoding act on queries, keys and scores.

transformers looks an attention function and a mask function up under one name. Milepost's change
queries and keys, or add to the mask, and then call the stock function. Both are registered: with the
attention function alone, transformers builds no mask and padding and causality are silently ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from milepost.encodings import Encoding
from milepost.errors import SwapRefused
from milepost.models.transformers_private import (
    eager_attention,
    eager_mask,
    flex_attention_forward,
    flex_attention_mask,
    layer_of,
    sdpa_attention_forward,
    sdpa_mask,
)
from milepost.tables import PREFIX

IMPLEMENTATIONS = ("sdpa", "eager", "flex")
POINTER = "_milepost"
POSITIONS = "milepost_positions"
ENCODING = "milepost_encoding"  # of images of another size than the model's own


@dataclass(frozen=True)
class Acting:
    """What one attention module is to do; ``encoding`` is ``None`` in cross-attention.

    Kept in the module's ``__dict__``, so that the encoding is no submodule of each layer and copies and
    pickles of the model keep pointing at their own encoding.
    """

    encoding: Encoding | None
    eager: Callable[..., tuple[Tensor, Tensor | None]]


def build_acting(module: nn.Module, encoding: Encoding | None) -> Acting:
    """What ``module`` is to do with an encoding.

    Raises:
        SwapRefused: MP121, attention of another make than transformers' interface.
    """
    eager = eager_attention(module)
    if eager is None:
        raise SwapRefused(
            "this attention does not go through transformers' attention interface",
            got=type(module).__name__,
            fix="choose an encoding that acts at the input: learned, sinusoidal",
        )
    return Acting(encoding, eager)


def register_attention() -> None:
    """Make ``milepost_sdpa``, ``_eager`` and ``_flex`` known to transformers; twice does no harm."""
    rows: tuple[tuple[Any, Any], ...] = (
        (_sdpa, sdpa_mask),
        (_eager, eager_mask),
        (_flex, flex_attention_mask),
    )
    for name, (attention, mask) in zip(IMPLEMENTATIONS, rows, strict=True):
        AttentionInterface.register(PREFIX + name, attention)
        AttentionMaskInterface.register(PREFIX + name, mask)


def _sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    acting = _acting(module, kwargs)
    if acting.encoding is not None:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if attention_mask is None and causal and 1 < query.shape[2] < key.shape[2]:
            # an empty static cache: what lies after the queries is not written yet
            key, value = key[:, :, : query.shape[2]], value[:, :, : query.shape[2]]
        positions = _pair(module, kwargs.get(POSITIONS))
        query, key, attention_mask = _act(
            acting.encoding, query, key, attention_mask, scaling, causal, positions
        )
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, is_causal=is_causal, **kwargs
    )


def _eager(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    acting = _acting(module, kwargs)
    if acting.encoding is not None:
        # eager attention takes causality from its mask alone
        positions = _pair(module, kwargs.get(POSITIONS))
        query, key, attention_mask = _act(
            acting.encoding, query, key, attention_mask, scaling, False, positions
        )
    return acting.eager(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


def _acting(module: nn.Module, kwargs: dict[str, Any]) -> Acting:
    acting: Acting | None = module.__dict__.get(POINTER)
    if acting is None:
        raise SwapRefused(
            "this attention module carries no encoding, though its model asks for Milepost's attention",
            got=type(module).__name__,
            fix="load a swapped folder with milepost.load, not with from_pretrained",
        )
    if acting.encoding is not None and ENCODING in kwargs:
        return replace(acting, encoding=kwargs[ENCODING])
    return acting


def _flex(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    acting = _acting(module, kwargs)
    if acting.encoding is not None:
        query_positions, key_positions = _pair(module, kwargs.get(POSITIONS))
        key_positions = key_positions[..., : key.shape[2]]
        if "bias" in acting.encoding.places:
            scale = query.shape[-1] ** -0.5 if scaling is None else scaling
            bias = acting.encoding.bias(query, query_positions, key_positions, scaling=scale)
            if bias is not None:
                shape = (len(query), query.shape[1], query.shape[2], key.shape[2])
                kwargs["position_bias"] = bias.expand(shape)
        if "rotate" in acting.encoding.places:
            query, key = acting.encoding.rotate(query, key, query_positions, key_positions)
    return flex_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


def _pair(module: nn.Module, positions: Any) -> tuple[Tensor, Tensor]:
    """Positions of the queries and keys of one layer."""
    if positions is None:
        raise SwapRefused(
            "attention was called without positions",
            got="a layer used outside of its model",
            fix="call the model, not its layers",
        )
    pair = positions[layer_of(module) if len(positions) > 1 else 0]
    return cast("tuple[Tensor, Tensor]", pair)


def _act(
    encoding: Encoding,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    causal: bool,
    positions: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor | None]:
    query_positions, key_positions = positions
    key_positions = key_positions[..., : key.shape[2]]
    if "bias" in encoding.places:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        bias = encoding.bias(query, query_positions, key_positions, scaling=scale)
        if bias is not None:
            mask = merge_bias(bias, mask, causal=causal and query.shape[2] > 1, dtype=query.dtype)
    if "rotate" in encoding.places:
        query, key = encoding.rotate(query, key, query_positions, key_positions)
    return query, key, mask


def merge_bias(bias: Tensor, mask: Tensor | None, *, causal: bool, dtype: torch.dtype) -> Tensor:
    """Put a bias and a mask into one additive mask of ``dtype``, finite everywhere.

    Masked places get the lowest finite number, never minus infinity: a row masked everywhere, as that
    of a pad is, would become NaN.

    Args:
        bias: ``([batch,] heads, query, key)``.
        mask: boolean (true: visible), additive, or none.
        causal: without a mask, whether keys after a query are hidden from it.
        dtype: of the queries.
    """
    bias = bias if bias.ndim == 4 else bias[None]
    low = torch.finfo(dtype).min
    if mask is None and causal:
        mask = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device).tril()
    if mask is not None:
        bias = torch.where(mask, bias, low) if mask.dtype == torch.bool else bias + mask
    # a float32 bias far away may be lower than float16 can say
    return bias if bias.dtype == dtype else bias.clamp(min=low).to(dtype)
