"""What stands where the position table stood, and the hook that hands it its vectors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from milepost.encodings import Encoding, Positions, build_positions
from milepost.errors import SwapRefused
from milepost.models.attention import POSITIONS
from milepost.models.families import PREFIX, Family

STATE = "_milepost"


class Slot(nn.Module):
    """Stands in a family's place for its table and answers with the encoding's vectors.

    ``weight`` has the table's name and no rows: stock classes that open a folder saved from here find
    another shape than theirs and raise, where a missing table would be filled with noise.
    """

    encoding: Encoding
    weight: Tensor

    def __init__(self, encoding: Encoding, like: Tensor, first_row: int) -> None:
        super().__init__()
        self.register_buffer("weight", like.new_empty(0, like.shape[-1]))
        self.__dict__["encoding"] = encoding  # its parameters belong to the base model
        self.first_row = first_row
        self.handed: Tensor | None = None

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors for this call: those handed over, or those of the family's own ``rows``."""
        if "vectors" not in self.encoding.places:
            return self.weight.new_zeros(())
        if self.handed is None:
            return self.read(rows - self.first_row)
        handed, self.handed = self.handed, None
        return handed

    def read(self, positions: Positions) -> Tensor:
        """Vectors at positions, in the dtype of the embeddings beside them."""
        vectors = self.encoding.vectors(positions, device=self.weight.device)
        assert vectors is not None
        return vectors.to(self.weight)


@dataclass
class State:
    """What the hook of one swapped base model needs; kept in the model's ``__dict__``."""

    family: Family
    encoding: Encoding
    slot: Slot
    follow_mask: bool  # never where only distances matter: slots serve those
    names: tuple[str, ...]
    limit: int | None
    kept: dict[object, Tensor] = field(default_factory=dict)

    def slots(self, length: int, device: torch.device) -> Tensor:
        """Slots 0, 1, 2, ...; the last ones are kept, so that encodings can tell they are the same."""
        if torch.compiler.is_compiling():
            return torch.arange(length, device=device)
        key = (length, device, torch.is_inference_mode_enabled())
        if key not in self.kept:
            self.kept.clear()
            self.kept[key] = torch.arange(length, device=device)
        return self.kept[key]


def parameter_names(base: PreTrainedModel) -> tuple[str, ...]:
    """Names of the arguments of a model's forward pass, in order."""
    return tuple(inspect.signature(type(base).forward).parameters)[1:]


def hand_positions(
    base: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[()], dict[str, Any]] | None:
    """Forward pre-hook of a swapped base model: derive positions, hand them to slot and attention."""
    state: State = base.__dict__[STATE]
    call = dict(zip(state.names, args, strict=False)) | kwargs
    ids, embeds = call.get("input_ids"), call.get("inputs_embeds")
    if ids is not None:
        shape, device = ids.shape, ids.device
    elif embeds is not None:
        shape, device = embeds.shape[:-1], embeds.device
    else:
        return None
    length = shape[-1]
    cache = call.get("past_key_values")
    # a static cache counts in a tensor that it changes in place; adding to it below makes a new one
    past = 0 if cache is None else cache.get_seq_length()
    places = state.encoding.places
    positions = _positions(state, call, length, past, device)
    if cache is None:
        positions = state.encoding.remap(positions, batch=shape[0], device=device)
    if "vectors" in places:
        state.slot.handed = state.slot.read(positions)
    if "rotate" in places or "bias" in places:
        _check_implementation(base)
        call[POSITIONS] = _attention_positions(state, cache, positions, length, past, device)
    if state.limit is not None:
        _pass_limits(state, call, shape, past, device)
    return (), call


def _positions(
    state: State, call: dict[str, Any], length: int, past: int | Tensor, device: torch.device
) -> Positions:
    explicit, mask = call.get("position_ids"), call.get("attention_mask")
    if explicit is not None:
        return explicit - state.family.first_row if state.family.first_row else explicit
    if state.follow_mask and mask is not None and mask.ndim == 2 and mask.shape[1] >= length:
        starts = mask[:, :1] != 0
        # on the CPU a look at the values costs nothing; elsewhere it would wait for the device
        if mask.device.type != "cpu" or torch.compiler.is_compiling() or not starts.all():
            counted = build_positions(length, attention_mask=mask, device=device)
            return torch.where(starts, build_positions(length, past_length=past, device=device), counted)
    if isinstance(past, int):
        return range(past, past + length)
    return build_positions(length, past_length=past, device=device)


def _attention_positions(
    state: State,
    cache: Any,
    positions: Positions,
    length: int,
    past: int | Tensor,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Positions of queries and keys."""
    if cache is None:
        slots = state.slots(length, device) if isinstance(positions, range) else positions
        return slots, slots
    # positions of the cached keys are not known, their slots are: distances are the same
    keys, offset = cache.get_mask_sizes(length, 0)
    slots = state.slots(keys, device)
    if isinstance(past, int):
        return slots[past - offset : past - offset + length], slots
    return torch.arange(length, device=device) + past - offset, slots


def _check_implementation(base: PreTrainedModel) -> None:
    name = base.config._attn_implementation
    if name is None or not name.startswith(PREFIX):
        raise SwapRefused(
            "the attention implementation was changed after the swap, and the encoding would be left out",
            got=str(name),
            fix=f"model.set_attn_implementation('{PREFIX}sdpa') or '{PREFIX}eager'",
        )


def _pass_limits(
    state: State, call: dict[str, Any], shape: torch.Size, past: int | Tensor, device: torch.device
) -> None:
    """Give the arguments that the family would read from buffers of the old table's length."""
    if call.get("position_ids") is None:
        if isinstance(past, int) and state.limit is not None and past + shape[-1] <= state.limit:
            return
        call["position_ids"] = build_positions(
            shape[-1], past_length=past, first_row=state.family.first_row, device=device
        )
    for name in state.family.zeros:
        if call.get(name) is None:
            call[name] = torch.zeros(shape, dtype=torch.int64, device=device)
