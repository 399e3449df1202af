"""What a swapped model does at each call: derive positions once, hand them to slot and attention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from milepost.encodings import Encoding, Positions, build_positions
from milepost.encodings.positions import count_from
from milepost.encodings.table import StoredPositions
from milepost.encodings.tracing import is_exported, is_traced
from milepost.errors import PastTheEnd, SwapRefused
from milepost.models.attention import ENCODING, POSITIONS
from milepost.models.slot import ParameterSlot, Slot
from milepost.models.transformers_private import check_arguments, find_cache, read_attention
from milepost.tables import PREFIX, Stack

STATE = "_milepost"
_STRETCH = "interpolate_pos_encoding"


@dataclass
class State:
    """What the hooks of one swapped base model need; kept in the model's ``__dict__``."""

    stack: Stack
    encoding: Encoding
    slot: Slot
    shown: ParameterSlot | None  # where the table is a parameter
    rows: int  # that an image model's own images need
    pad: int | None
    first_row: int
    patch: tuple[int, int] | None  # of images, in pixels
    follow_mask: bool
    names: tuple[str, ...]
    limit: int | None
    kept: dict[object, Tensor] = field(default_factory=dict)

    def slots(self, length: int, device: torch.device) -> Tensor:
        """Slots 0, 1, 2, ...; the last ones are kept, so that encodings can tell they are the same."""
        if is_traced():
            return torch.arange(length, device=device)
        key = (length, device, torch.is_inference_mode_enabled())
        if key not in self.kept:
            self.kept.clear()
            self.kept[key] = torch.arange(length, device=device)
        return self.kept[key]


@dataclass(frozen=True)
class Call:
    """One forward pass of a base model: its arguments, and what they say of its sequences."""

    arguments: dict[str, Any]
    shape: tuple[int, ...]
    device: torch.device
    cache: Any
    grid: tuple[int, int] | None = None  # rows and columns of patches of images

    @property
    def length(self) -> int:
        """Tokens in this call."""
        return self.shape[-1]

    @property
    def past(self) -> int | Tensor:
        """Tokens in the cache; a static cache counts in a tensor that it changes in place."""
        return 0 if self.cache is None else cast("int | Tensor", self.cache.get_seq_length())

    @property
    def mask(self) -> Tensor | None:
        """The attention mask, where it says which tokens are pads."""
        mask = self.arguments.get("attention_mask")
        fits = isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] >= self.length
        return mask if fits else None


def hand_positions(
    base: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[()], dict[str, Any]] | None:
    """Forward pre-hook of a swapped base model."""
    state: State = base.__dict__[STATE]
    arguments = dict(zip(state.names, args, strict=False)) | kwargs
    check_arguments(arguments)
    call = _read(state, arguments)
    if call is None:
        return None
    if call.grid is not None:
        _keep_own_size(state, base, call)
    encoding = _at_size(state, call)
    acts = bool(encoding.places & {"rotate", "bias"})
    if acts:
        _check_implementation(base)
    positions, missing = _positions(state, call)
    if isinstance(encoding, StoredPositions):
        positions = _grouped(encoding, call, positions)
    if call.cache is None:
        positions = encoding.remap(positions, batch=call.shape[0], device=call.device)
    elif encoding.needs_whole:
        raise SwapRefused(
            f"{encoding.name} places a token by the length of its input, so a cache cannot be continued",
            got="a call with past_key_values",
            fix="pass use_cache=False, to generate() too",
        )
    if state.stack.embeds or call.arguments.get("inputs_embeds") is None:
        _hand_vectors(state, base, call, encoding, positions, missing)
    if acts:
        call.arguments[POSITIONS] = _attention_positions(state, call, encoding, positions)
        if encoding is not state.encoding:
            call.arguments[ENCODING] = encoding
    if state.limit is not None:
        _pass_limits(state, call, state.limit)
    return (), call.arguments


def clear_vectors(base: PreTrainedModel, args: tuple[Any, ...], output: Any) -> None:
    """Forward hook of a swapped base model: nothing of a call outlives it."""
    state: State = base.__dict__[STATE]
    state.slot.handed = None
    if state.shown is not None:
        state.shown.clear()


def _read(state: State, arguments: dict[str, Any]) -> Call | None:
    if state.patch is not None:
        pixels = arguments.get("pixel_values")
        if pixels is None:
            return None
        assert state.stack.prefix is not None
        rows, columns = (size // patch for size, patch in zip(pixels.shape[-2:], state.patch, strict=True))
        shape = len(pixels), state.stack.prefix + rows * columns
        return Call(arguments, shape, pixels.device, None, (rows, columns))
    cache = find_cache(arguments)
    ids, embeds = arguments.get("input_ids"), arguments.get("inputs_embeds")
    if ids is not None:
        return Call(arguments, tuple(ids.shape), ids.device, cache)
    return None if embeds is None else Call(arguments, tuple(embeds.shape[:-1]), embeds.device, cache)


# ---- where tokens are


def _at_size(state: State, call: Call) -> Encoding:
    """The encoding of the images of a call."""
    if call.grid is None or _is_stretched(state, call.grid):
        return state.encoding
    return state.encoding.at_grid(call.grid)


def _keep_own_size(state: State, base: PreTrainedModel, call: Call) -> None:
    """Let no family stretch the rows of images of the model's own size: most would take the grid for a square.

    Tables without an answer of their own for other sizes stay the family's, so that they do what stock models do.
    """
    own = base.config.image_size
    sides = tuple(own) if isinstance(own, list | tuple) else (own, own)
    same = tuple(call.arguments["pixel_values"].shape[-2:]) == sides
    if same and call.arguments.get(_STRETCH) and not _has_end(state) and not torch.jit.is_tracing():
        call.arguments[_STRETCH] = False


def _stretches(state: State, call: Call) -> bool:
    """Whether the family stretches the rows that it is handed; DINOv2 does it unasked."""
    return bool(call.arguments.get(_STRETCH, _STRETCH not in state.names))


def _has_end(state: State) -> bool:
    return "vectors" in state.encoding.places and state.encoding.usable_length is not None


def _is_stretched(state: State, grid: tuple[int, int]) -> bool:
    """Whether the family itself stretches the rows of its own images to those of a call.

    It does for tables that have no answer of their own, and knows no more than one number for what is square.
    """
    return "vectors" in state.encoding.places and (
        state.encoding.usable_length is not None or grid[0] != grid[1]
    )


def _positions(state: State, call: Call) -> tuple[Positions, Tensor | None]:
    """Positions of the tokens of a call, and which have none."""
    explicit = call.arguments.get("position_ids")
    if call.grid is not None:
        if _is_stretched(state, call.grid):
            return range(state.rows), None
        return count_from(0, call.length, device=call.device), None
    if explicit is None:
        found = _places(call) if state.encoding.relative else _derived(state, call)
    else:
        found = explicit - state.first_row if state.pad is not None else explicit
    if state.pad is None or isinstance(found, range):
        return found, None
    return found.clamp(min=0), found < 0


def _derived(state: State, call: Call) -> Positions:
    """Positions where more than distances counts: the family's own, or counted in the mask after left pads."""
    own, mask = _own(state, call), call.mask
    if mask is None or not state.follow_mask or (state.pad is not None and _counts_tokens(call)):
        return own
    plain = _plain_rows(state, mask)
    if _can_look(mask) and plain.all():
        return own
    counted = build_positions(call.length, attention_mask=mask, device=call.device)
    if isinstance(own, range):
        own = build_positions(call.length, past_length=call.past, device=call.device)
    return torch.where(plain, own, counted)


def _plain_rows(state: State, mask: Tensor) -> Tensor:
    """Which sequences keep the family's own positions: those that no pad shifts."""
    return mask.all(-1, keepdim=True) if state.encoding.sees_length else mask[:, :1] != 0


def _own(state: State, call: Call) -> Positions:
    """Positions as the family derives them; -1 where it gives none."""
    if state.stack.counts_mask and call.mask is not None and not (_can_look(call.mask) and call.mask.all()):
        return build_positions(call.length, attention_mask=call.mask, device=call.device)
    ids = call.arguments.get("input_ids")
    if state.pad is None or ids is None:
        return _places(call, state.encoding if call.mask is None else None)
    real = (ids != state.pad).to(torch.int64)
    return real.cumsum(-1).add(call.past).mul(real) - 1


def _grouped(table: StoredPositions, call: Call, positions: Positions) -> Positions:
    """Rows of a table whose rows are shared by neighbours; without pads in them inputs are whole ones."""
    real = None
    if table.past == "group" and call.mask is not None and not (_can_look(call.mask) and call.mask.all()):
        real = call.mask[:, -call.length :] != 0
        if isinstance(positions, range):
            positions = build_positions(call.length, past_length=positions.start, device=call.device)
    begun = not isinstance(call.past, int) or call.past > 0
    return table.group(positions, real=real, cached=begun, device=call.device)


def _counts_tokens(call: Call) -> bool:
    """Whether all tokens that count are at hand."""
    return call.cache is None and call.arguments.get("input_ids") is not None


def _places(call: Call, encoding: Encoding | None = None) -> Positions:
    """Positions 0, 1, 2, ... behind the cache; a compiled call checks that ``encoding`` has them all."""
    past = call.past
    if isinstance(past, int):
        if isinstance(encoding, StoredPositions) and is_traced() and not is_exported():
            encoding.check_length(past + call.length)
        return count_from(past, call.length, device=call.device)
    return build_positions(call.length, past_length=past, device=call.device)


def _can_look(mask: Tensor) -> bool:
    """On the CPU a look at the values costs nothing; elsewhere it would wait for the device."""
    return mask.device.type == "cpu" and not is_traced()


# ---- what is handed over


def _hand_vectors(
    state: State,
    base: PreTrainedModel,
    call: Call,
    encoding: Encoding,
    positions: Positions,
    missing: Tensor | None,
) -> None:
    if state.stack.table is None:
        if "vectors" in state.encoding.places:
            embeds = call.arguments.get("inputs_embeds")
            if embeds is None:
                embeds = base.get_input_embeddings()(call.arguments.pop("input_ids"))
            call.arguments["inputs_embeds"] = embeds + state.slot.read(positions, encoding).to(embeds)
        return
    if "vectors" in state.encoding.places or state.stack.reads_table:
        rows = state.rows if call.grid is not None else call.length
        if call.grid is not None and _stretches(
            state, call
        ):  # zeros of one patch: a square whatever the image
            rows = (state.stack.prefix or 0) + 1
        vectors = state.slot.read(positions, encoding, missing=missing, rows=rows)
        state.slot.handed = vectors
        if state.shown is not None:
            state.shown.hand(vectors)


def _attention_positions(
    state: State, call: Call, encoding: Encoding, positions: Positions
) -> tuple[tuple[Tensor, Tensor], ...]:
    """Positions of queries and keys: for all layers, or for each where they keep different keys."""
    if call.cache is None:
        if isinstance(positions, range):
            positions = state.slots(call.length, call.device)
        return ((positions, positions),)
    layers = max(1, len(call.cache.layers))
    sizes = [call.cache.get_mask_sizes(call.length, layer) for layer in range(layers)]
    if all(size == sizes[0] for size in sizes):  # a set would fix the sizes in a compiled graph
        del sizes[1:]
    # distances between slots are those between positions
    pairs = tuple(_slot_pair(state, call, keys, offset) for keys, offset in sizes)
    if encoding.relative or isinstance(positions, range):
        return pairs
    return tuple((positions, _cached_positions(state, call, positions, keys)) for _, keys in pairs)


def _cached_positions(state: State, call: Call, positions: Tensor, slots: Tensor) -> Tensor:
    """Positions of the keys in some slots of the cache, from the mask or else from the last query."""
    explicit = call.arguments.get("position_ids") is not None
    if call.mask is None:
        return (slots - (call.past + call.length - 1) + positions[..., -1:]).clamp(min=0)
    total = call.mask.shape[1]
    places = build_positions(total, attention_mask=call.mask, device=call.device)
    if not explicit and not state.stack.counts_mask:
        places = torch.where(_plain_rows(state, call.mask), torch.arange(total, device=call.device), places)
    keys = places[:, slots.clamp(max=total - 1)]  # later slots of a static cache are not written yet
    return (keys + positions[..., -1:] - places[:, -1:]).clamp(min=0) if explicit else keys


def _slot_pair(state: State, call: Call, keys: int, offset: int) -> tuple[Tensor, Tensor]:
    past = call.past
    if isinstance(past, int):
        slots = state.slots(max(past + call.length, offset + keys), call.device)
        return slots[past : past + call.length], slots[offset : offset + keys]
    queries = torch.arange(call.length, device=call.device) + past
    return queries, torch.arange(offset, offset + keys, device=call.device)


def _check_implementation(base: PreTrainedModel) -> None:
    name = read_attention(base.config)
    if name is None or not name.startswith(PREFIX):
        raise SwapRefused(
            "the attention implementation was changed after the swap, and the encoding would be left out",
            got=str(name),
            fix=f"model.set_attn_implementation('{PREFIX}sdpa') or '{PREFIX}eager'",
        )


def _pass_limits(state: State, call: Call, limit: int) -> None:
    """Give the arguments that the family would read from buffers of the old table's length."""
    past = call.past
    # a comparison would limit an exported graph to the lengths of its outcome
    any_length = is_traced() and not state.stack.firm
    within = not any_length and isinstance(past, int) and state.first_row + past + call.length <= limit
    if state.stack.firm:
        if not within:
            raise PastTheEnd(
                "the input is past the end of this family's causal mask, whatever the encoding",
                got=f"{limit} positions, an input that reaches further",
                fix="shorten the input",
            )
        return
    if call.arguments.get("position_ids") is None:
        if within:
            return
        call.arguments["position_ids"] = build_positions(
            call.length, past_length=past, first_row=state.first_row, device=call.device
        )
    for name in state.stack.zeros:
        if call.arguments.get(name) is None:
            call.arguments[name] = torch.zeros(call.shape, dtype=torch.int64, device=call.device)
