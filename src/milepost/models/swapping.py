"""Put another position encoding into a model."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import milepost
from milepost.encodings import Encoding, Geometry, LearnedPositions, build, canonical
from milepost.errors import OptionError, SwapRefused
from milepost.models.attention import IMPLEMENTATIONS, POINTER, Acting, build_acting, register_attention
from milepost.models.families import PREFIX, Family, find_base
from milepost.models.record import KEY, swapped_class
from milepost.models.slot import STATE, Slot, State, hand_positions, parameter_names
from milepost.spec import Spec

Model = TypeVar("Model", bound=PreTrainedModel)
POSITIONS = ("mask", "stock")
_FRESH = {"init", "std", "rank"}
"""Options of ``learned`` that ask for other values than those of the table that is there."""


def geometry(model: PreTrainedModel) -> Geometry:
    """What an encoding has to know of ``model``.

    ``embedding_rms`` is the root mean square of the table in the model, so that an absolute encoding
    put into trained weights stands where the table stood; a freshly initialised table has the token
    embeddings' own. A model that was swapped before answers with what it was swapped with.

    Raises:
        UnknownFamily: MP120. SwapRefused: MP121.
    """
    base, family = find_base(model)
    return _measure(base, family)


def swap(
    model: Model,
    encoding: str | Spec | Encoding,
    *,
    positions: str = "mask",
    max_len: int | None = None,
) -> Model:
    """Put ``encoding`` into ``model`` in the place of its position table, in place.

    An absolute encoding replaces the table; a rotary or bias encoding acts in each self-attention, and
    the table is taken out. ``learned`` keeps the rows of the table that is there, unless its options
    ask for other initial values: outputs and gradients are then bit-identical to the model's before,
    but where the attention mask shows left pads. The model is untouched when this fails; its config is
    replaced by a copy, so that other models built from it stay as they are.

    Args:
        model: a model of transformers, of a known family; changed.
        encoding: a spec, or an encoding built for this model. A model with the latter cannot be saved
            by ``save_pretrained``.
        positions: where the positions of absolute encodings come from when none are passed: ``mask``
            counts real tokens in sequences that begin with pads, ``stock`` is what the family does.
        max_len: positions that a table gets; the present number by default.

    Returns:
        ``model``. Its encoding is the submodule ``milepost`` of the base model.

    Raises:
        UnknownFamily: MP120, no family that is known.
        SwapRefused: MP121, an encoding that makes no sense here, or rows that are not there.
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, n_positions=32)
    >>> model = swap(GPT2LMHeadModel(config), "rotary")
    >>> model.transformer.milepost.name
    'rotary'
    """
    base, family = find_base(model)
    if positions not in POSITIONS:
        raise OptionError(
            "positions come from the mask or from the family",
            got=f"positions={positions!r}",
            fix="positions='mask' or positions='stock'",
        )
    if isinstance(encoding, Encoding):
        return install(model, encoding, spec=None, geometry=_measure(base, family), positions=positions)
    spec, measured = canonical(encoding), _measure(base, family)
    wanted = measured if max_len is None else replace(measured, max_len=max_len)
    table = _table(base, family)
    kept = None if spec.name != "learned" or spec.options.keys() & _FRESH else table
    if kept is not None and wanted.max_len > len(kept):
        raise SwapRefused(
            "the table has too few rows, and new ones would be untrained",
            got=f"{len(kept)} rows, max_len={wanted.max_len}",
            fix="grow it first: milepost extend MODEL --to N",
        )
    with torch.random.fork_rng(devices=[], enabled=kept is not None):
        built = build(spec, wanted)
    if kept is not None:
        cast(LearnedPositions, built).weight.data = kept[: wanted.max_len].clone()
    return install(model, built, spec=str(spec), geometry=wanted, positions=positions)


def install(
    model: Model, encoding: Encoding, *, spec: str | None, geometry: Geometry, positions: str
) -> Model:
    """Put a built encoding into a model; everything that can fail comes before the first change."""
    base, family = find_base(model)
    implementation = _implementation(model, encoding)
    actings = _actings(base, family, encoding) if implementation.startswith(PREFIX) else []
    config = copy.deepcopy(model.config)
    config.__class__ = swapped_class(type(config))
    config._attn_implementation_internal = implementation
    record = {
        "version": milepost.__version__,
        "encoding": spec,
        "positions": positions,
        "max_len": geometry.max_len,
        "embedding_rms": geometry.embedding_rms,
    }
    setattr(config, KEY, record)
    table = _weight(base, family)
    config.max_position_embeddings = geometry.max_len + family.first_row
    slot = Slot(encoding, table, family.first_row)
    limits = [base.get_buffer(path).shape[-1] for path in family.limits]
    state = State(
        family=family,
        encoding=encoding,
        slot=slot,
        follow_mask=positions == "mask" and "vectors" in encoding.places,
        names=parameter_names(base),
        limit=min(limits, default=None),
    )
    encoding.to(device=table.device, dtype=table.dtype).train(base.training)
    register_attention()

    base.set_submodule(family.table, slot)
    _place(base, family, encoding)
    for module, acting in actings:
        module.__dict__[POINTER] = acting
    if STATE not in base.__dict__:
        base.register_forward_pre_hook(hand_positions, with_kwargs=True)
    base.__dict__[STATE] = state
    old = model.config
    for module in model.modules():
        if module.__dict__.get("config") is old:
            module.__dict__["config"] = config
    return model


def _actings(base: PreTrainedModel, family: Family, encoding: Encoding) -> list[tuple[nn.Module, Acting]]:
    own, cross = family.attentions(base)
    if not own:
        raise SwapRefused(
            "no self-attention was found to act in",
            got=type(base).__name__,
            fix="choose learned or sinusoidal",
        )
    return [(module, build_acting(module, encoding)) for module in own] + [
        (module, build_acting(module, None)) for module in cross
    ]


def _place(base: PreTrainedModel, family: Family, encoding: Encoding) -> None:
    """Make the encoding a submodule, right after the one that held the table.

    The order of parameters stays as it was where it can: norms of all gradients are sums in that order.
    """
    base.milepost = encoding
    names = list(base._modules)
    for name in names[names.index(family.table.split(".")[0]) + 1 :]:
        if name != "milepost":
            base._modules[name] = base._modules.pop(name)


def _implementation(model: PreTrainedModel, encoding: Encoding) -> str:
    """The attention implementation that a model needs for an encoding, as near to its own as there is."""
    name = str(model.config._attn_implementation).removeprefix(PREFIX)
    if not encoding.places & {"rotate", "bias"}:
        return name
    if name not in IMPLEMENTATIONS:
        raise SwapRefused(
            f"{encoding.name} acts in attention, which is not possible under this implementation",
            got=f"attn_implementation={name!r}",
            fix="model.set_attn_implementation('sdpa') before the swap",
        )
    return PREFIX + name


def _weight(base: PreTrainedModel, family: Family) -> Tensor:
    """Weight of what stands in the table's place, rows or none."""
    return cast(Tensor, base.get_submodule(family.table).weight)


def _table(base: PreTrainedModel, family: Family) -> Tensor | None:
    """Rows of positions 0, 1, 2, ... of the learned table in a model, if there is one."""
    present = base.milepost if STATE in base.__dict__ else base.get_submodule(family.table)
    if isinstance(present, LearnedPositions):
        return present.weight.detach()
    return present.weight.detach()[family.first_row :] if isinstance(present, nn.Embedding) else None


def _measure(base: PreTrainedModel, family: Family) -> Geometry:
    config, table = base.config, _table(base, family)
    heads = config.num_attention_heads
    before = getattr(config, KEY, None)
    if before is not None:
        rows, rms = before["max_len"], before["embedding_rms"]
    else:
        assert table is not None
        tokens = cast(Tensor, base.get_input_embeddings().weight).detach()
        rows, rms = len(table), _rms(table) or _rms(tokens)
    return Geometry(
        dim=_weight(base, family).shape[-1],
        heads=heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        max_len=rows,
        causal=family.is_causal(config),
        embedding_rms=rms,
    )


def _rms(table: Tensor) -> float:
    return (
        0.0 if table.device.type == "meta" else table.float().square().mean(dtype=torch.float64).sqrt().item()
    )
