"""What is in a model now: its table, and the geometry that an encoding has to know."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from milepost.encodings import Geometry
from milepost.encodings.table import StoredPositions
from milepost.models.families import find_bases
from milepost.models.hooks import STATE
from milepost.models.rotary_settings import read_rotary
from milepost.models.slot import Slot
from milepost.models.swapped_config import KEY
from milepost.tables import Stack


def geometry(model: PreTrainedModel) -> Geometry:
    """What an encoding has to know of ``model``; of its encoder where it has two tables.

    ``embedding_rms`` is the root mean square of the table in the model, so that an absolute encoding
    put into trained weights stands where the table stood; without a table, or with a freshly
    initialised one, it is the token embeddings' own. A model that was swapped before answers with what
    it was swapped with.

    Raises:
        UnknownFamily: MP120. SwapRefused: MP121.
    """
    return geometries(model)[0]


def geometries(model: PreTrainedModel) -> list[Geometry]:
    """The geometry of each part of ``model`` that holds positions."""
    parts = find_bases(model)
    before = getattr(model.config, KEY, None) or {}
    if "parts" not in before:  # never swapped; the record may hold lengths that other verbs wrote
        return [_measure(base, stack) for base, stack in parts]
    return [
        _describe(base, stack, rows=part["max_len"], rms=part["embedding_rms"])
        for (base, stack), part in zip(parts, before["parts"], strict=True)
    ]


def find_table(base: PreTrainedModel, path: str | None) -> nn.Module | Tensor:
    """What stands at a path."""
    assert path is not None
    holder, _, name = path.rpartition(".")
    return cast("nn.Module | Tensor", getattr(base.get_submodule(holder), name))


def table_weight(base: PreTrainedModel, stack: Stack) -> Tensor:
    """A tensor of the dtype, device and width of what stands in the table's place, rows or none."""
    if stack.table is None:
        return cast(Tensor, base.get_input_embeddings().weight).detach()
    present = find_table(base, stack.table)
    if isinstance(present, Tensor):
        return present.detach()[0]
    return present.empty if isinstance(present, Slot) else cast(Tensor, present.weight).detach()


def table_rows(base: PreTrainedModel, stack: Stack) -> Tensor | None:
    """Rows of positions 0, 1, 2, ... of the table in a model, if there is one."""
    if STATE in base.__dict__:
        present = base.milepost
        return present.stored_rows() if isinstance(present, StoredPositions) else None
    return None if stack.table is None else table_weight(base, stack)[stack.first_row_of(base.config) :]


def _measure(base: PreTrainedModel, stack: Stack) -> Geometry:
    """The geometry of a part as transformers built it."""
    table = table_rows(base, stack)
    if table is None:
        rows, rms = int(getattr(base.config, str(stack.length))), 0.0
    else:
        rows, rms = len(table), _rms(table)
    if not rms and base.main_input_name != "pixel_values":
        rms = _rms(cast(Tensor, base.get_input_embeddings().weight).detach())
    return _describe(base, stack, rows=rows, rms=rms)


def _describe(base: PreTrainedModel, stack: Stack, *, rows: int, rms: float) -> Geometry:
    config = base.config
    heads = int(getattr(config, stack.heads))
    return Geometry(
        dim=table_weight(base, stack).shape[-1],
        heads=heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        max_len=rows,
        causal=stack.is_causal(config),
        embedding_rms=rms,
        grid=stack.grid_of(config),
        prefix=stack.prefix or 0,
        rotary=read_rotary(config, stack),
    )


def _rms(table: Tensor) -> float:
    return (
        0.0 if table.device.type == "meta" else table.float().square().mean(dtype=torch.float64).sqrt().item()
    )
