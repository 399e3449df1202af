"""Put built encodings into a model: what is checked first, and what is changed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

import milepost
from milepost.encodings import Encoding, Geometry, settle
from milepost.errors import SwapRefused
from milepost.models.attention import IMPLEMENTATIONS, POINTER, Acting, build_acting, register_attention
from milepost.models.families import find_attentions, find_bases, is_crossing
from milepost.models.hooks import STATE, State, clear_vectors, hand_positions
from milepost.models.measuring import find_table, table_weight
from milepost.models.slot import ParameterSlot, Silent, Slot
from milepost.models.swapped_config import KEY, ROPE, swapped_class
from milepost.models.transformers_private import (
    clear_weight_conversions,
    parameter_names,
    read_attention,
    write_attention,
)
from milepost.tables import PREFIX, Stack

Model = TypeVar("Model", bound=PreTrainedModel)


def put_in(
    model: Model,
    encodings: Sequence[Encoding],
    *,
    spec: str | None,
    geometries: Sequence[Geometry],
    positions: str,
) -> Model:
    """Put built encodings into a model; everything that can fail comes before the first change.

    Raises:
        SwapRefused: MP121.
    """
    parts = find_bases(model)
    spec = None if spec is None else str(settle(spec, geometries[0]))
    for (_, stack), encoding in zip(parts, encodings, strict=True):
        _check_sense(stack, encoding)
    implementation = _implementation(model, encodings[0])
    actings: list[tuple[nn.Module, Acting]] = []
    if implementation.startswith(PREFIX):
        actings = _all_actings(model, parts, encodings)
    config = _write_config(model, spec, geometries, positions, implementation)
    states = [
        _build_state(base, stack, encoding, shape, positions)
        for (base, stack), encoding, shape in zip(parts, encodings, geometries, strict=True)
    ]
    register_attention()

    old = {id(model.config), *(id(base.config) for base, _ in parts)}
    for (base, _), state in zip(parts, states, strict=True):
        _put(base, state)
    for module, acting in actings:
        module.__dict__[POINTER] = acting
    for module in model.modules():
        if id(module.__dict__.get("config")) in old:
            module.__dict__["config"] = config
    clear_weight_conversions(model)
    return model


def _check_sense(stack: Stack, encoding: Encoding) -> None:
    if encoding.places & {"rotate", "bias"} and not stack.interface:
        raise SwapRefused(
            f"{encoding.name} acts in attention, and {stack.model_type}'s does not go through transformers' "
            "attention interface",
            got=f"{encoding.name} for {stack.model_type}",
            fix="choose an encoding that acts at the input: learned, sinusoidal",
        )
    if not encoding.places and stack.keeps:
        raise SwapRefused(
            f"without its table {stack.model_type} would still know order",
            got=f"{encoding.name}, and a family with {stack.keeps}",
            fix="choose learned or sinusoidal, or begin from bert",
        )


def _write_config(
    model: PreTrainedModel,
    spec: str | None,
    geometries: Sequence[Geometry],
    positions: str,
    implementation: str,
) -> PretrainedConfig:
    """A copy of a model's config that says what was swapped in."""
    config = copy.deepcopy(model.config)
    config.__class__ = swapped_class(type(config))
    config.__dict__.pop(
        "model_type", None
    )  # a config that was read has one of its own before that of its class
    write_attention(config, implementation)
    parts = [{"max_len": shape.max_len, "embedding_rms": shape.embedding_rms} for shape in geometries]
    record = {"version": milepost.__version__, "encoding": spec, "positions": positions, "parts": parts}
    known = getattr(config, KEY, None) or {}
    kept = {key: value for key, value in known.items() if key not in (*record, ROPE)}  # trained lengths
    setattr(config, KEY, kept | record)
    for (base, stack), shape in zip(find_bases(model), geometries, strict=True):
        if stack.length is not None:
            # rows before position 0 are in the field where the family's class does not add them itself
            extra = stack.first_row_of(base.config) if stack.pad is not None else 0
            setattr(config, stack.length, shape.max_len + extra)
    return config


def _build_state(
    base: PreTrainedModel, stack: Stack, encoding: Encoding, shape: Geometry, positions: str
) -> State:
    like, first_row = table_weight(base, stack), stack.first_row_of(base.config)
    encoding.to(device=like.device, dtype=like.dtype).train(base.training)
    slot = Slot(encoding, like, first_row)
    shown = None
    if stack.reads_table and not isinstance(find_table(base, stack.table), nn.Module):
        path, _, name = str(stack.table).rpartition(".")
        shown = ParameterSlot(base.get_submodule(path), name, slot)
    limits = [base.get_buffer(path).shape[-1] for path in stack.limits]
    return State(
        stack=stack,
        encoding=encoding,
        slot=slot,
        shown=shown,
        rows=shape.max_len,
        pad=stack.pad_of(base.config),
        first_row=first_row,
        patch=stack.patch_of(base.config),
        follow_mask=positions == "mask",
        names=parameter_names(base),
        limit=min(limits, default=None),
    )


def _put(base: PreTrainedModel, state: State) -> None:
    """Make the changes to one part; nothing here can fail."""
    if state.shown is not None:
        state.shown.take_place()
    elif state.stack.table is not None:
        base.set_submodule(state.stack.table, state.slot)
    if state.stack.rotary is not None:
        base.set_submodule(state.stack.rotary, Silent())
    _place(base, state.stack, state.encoding)
    if STATE not in base.__dict__:
        base.register_forward_pre_hook(hand_positions, with_kwargs=True)
        base.register_forward_hook(clear_vectors, always_call=True)
    base.__dict__[STATE] = state


def _all_actings(
    model: PreTrainedModel, parts: Sequence[tuple[PreTrainedModel, Stack]], encodings: Sequence[Encoding]
) -> list[tuple[nn.Module, Acting]]:
    """What each attention module of a model is to do; nothing, outside of the parts and across them."""
    acting: dict[nn.Module, Encoding | None] = dict.fromkeys(find_attentions(model, parts[0][1]))
    for (base, stack), encoding in zip(parts, encodings, strict=True):
        own = [one for one in find_attentions(base, stack) if not is_crossing(one, base, stack)]
        if not own:
            raise SwapRefused(
                "no self-attention was found to act in",
                got=type(base).__name__,
                fix="choose learned or sinusoidal",
            )
        acting |= dict.fromkeys(own, encoding)
    return [(module, build_acting(module, encoding)) for module, encoding in acting.items()]


def _place(base: PreTrainedModel, stack: Stack, encoding: Encoding) -> None:
    """Make the encoding a submodule, right after the one that held the table.

    The order of parameters stays as it was where it can: norms of all gradients are sums in that order.
    """
    base.milepost = encoding
    if stack.table is None:
        return
    names = list(base._modules)
    for name in names[names.index(stack.table.split(".")[0]) + 1 :]:
        if name != "milepost":
            base._modules[name] = base._modules.pop(name)


def _implementation(model: PreTrainedModel, encoding: Encoding) -> str:
    """The attention implementation that a model needs for an encoding, as near to its own as there is."""
    name = str(read_attention(model.config)).removeprefix(PREFIX)
    if not encoding.places & {"rotate", "bias"}:
        return "flex_attention" if name == "flex" else name
    name = "flex" if name == "flex_attention" else name
    if name not in IMPLEMENTATIONS:
        raise SwapRefused(
            f"{encoding.name} acts in attention, which is not possible under this implementation",
            got=f"attn_implementation={name!r}",
            fix="model.set_attn_implementation('sdpa') before the swap",
        )
    return PREFIX + name
