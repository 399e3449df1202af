"""The verb ``extend`` on a model in memory: the same plan as for its files, carried out on its modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from milepost import __version__
from milepost.errors import ExtendRefused
from milepost.extension.apply import SCHEMA_VERSION
from milepost.extension.attributes import plan_attributes, set_field
from milepost.extension.buffers import Growth, plan_buffers, refuse_quantised
from milepost.extension.documents import plan_record, shown_size
from milepost.extension.methods.base import Method
from milepost.extension.methods.extend_rows import extend_rows
from milepost.extension.plan import read_size
from milepost.extension.target import Target, choose_target
from milepost.extension.weights import Fresh
from milepost.models.position_rule import install_rule
from milepost.tables import RECORD, Checkpoint, Rule, TensorEntry, encode, recognise
from milepost.tables.build import build_table

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DTYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def extend_in_memory(
    model: PreTrainedModel,
    *,
    to: int | str | tuple[int, int],
    method: str | Method | None,
    tensor: str | None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Give a model in memory more positions, in place; a model that is refused is as it was.

    Guarantee: table, the tables and buffers that share its length, what modules keep of it, and the configuration change
    together. Old rows that
    the method keeps are bit-identical. The table becomes a new parameter: make optimisers afterwards.

    Args:
        model: a model of transformers. Changed.
        to: usable positions wanted; for images pixels: a number, or ``"384x512"`` (height, width).
        method: a spec string; ``hierarchical`` for text and ``bicubic`` for images without it.
        tensor: the table's name, where several could be meant.
        dry_run: report what would change, and change nothing.

    Returns:
        The document of ``schemas/extend.json``, with the changes.

    Raises:
        ExtendRefused: MP123, for what a file would be refused for, and for sizes that modules keep in a way not known. MilepostError: as ``plan_extension``.
    """
    held = dict(model.named_parameters()) | dict(model.named_buffers())
    checkpoint = read_memory(model, held)
    target = choose_target(checkpoint, read_size(to), method, tensor)
    if not target.tables:
        raise ExtendRefused(
            "this model computed its positions when it was built",
            got=type(model).__name__,
            fix="extend its folder, or build it from a configuration of the new length",
        )
    if target.method.position_rule:
        return _install_rule(model, checkpoint, target, dry_run)
    fresh: dict[str, Fresh] = {}
    for (table, match), length in zip(target.tables, target.grids, strict=True):
        refuse_quantised(checkpoint, table)
        growth = Growth(
            table, match.family if match else None, extend_rows(table, length, target.method), length
        )
        shape = (*checkpoint.tensors[table.key].shape[:-2], *growth.rows.shape)
        fresh[table.key] = Fresh.of(shape, encode(growth.rows, table.dtype))
        fresh |= plan_buffers(
            checkpoint, growth, target.method, lambda name, begin, end: _bytes(held[name])[begin:end]
        )
    made = {key: _tensor(one, held[key]) for key, one in fresh.items()}
    stock = type(model).__module__.startswith("transformers.")
    attributes = plan_attributes(model, target.fields, made) if target.is_image or stock else []
    if dry_run:
        return _describe(model, checkpoint, target, made, written=False)
    for key, value in made.items():
        _put(model, key, value)
    for path, _, value in target.fields:
        set_field(model.config, path, value)
    for module, name, value in attributes:
        setattr(module, name, value)
    return _describe(model, checkpoint, target, made, written=True)


def _install_rule(
    model: PreTrainedModel, checkpoint: Checkpoint, target: Target, dry_run: bool
) -> dict[str, Any]:
    """A rule changes no table: the model is one that ``milepost.load`` would make of its folder."""
    old = checkpoint.config.get(RECORD)
    record = plan_record(old, target)
    if not dry_run:
        install_rule(model, Rule(**record["rule"]), record)
    recorded = replace(target, fields=(((RECORD,), old, record),))
    return _describe(model, checkpoint, recorded, {}, written=not dry_run)


def read_memory(model: PreTrainedModel, held: Mapping[str, Tensor]) -> Checkpoint:
    """The model as reading its files would show it."""
    tensors = {
        key: TensorEntry(_DTYPES.get(value.dtype, str(value.dtype)), tuple(value.shape), key, 0, value.nbytes)
        for key, value in held.items()
    }
    config = model.config.to_dict()
    family, order, matches = recognise(config, tensors)
    tables = tuple(
        build_table(match.key, held[match.key].detach().cpu().to(_wide(held[match.key])).numpy(), tensors[match.key].dtype, match=match)
        for match in matches
    )  # fmt: skip
    return Checkpoint(
        source=type(model).__name__, kind="memory", family=family, model_type=config.get("model_type"), config=config,
        tensors=tensors, tables=tables, positions_by=order, total_parameters=None, files=(), weight_map={}, metadata={},
    )  # fmt: skip


def _wide(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _tensor(fresh: Fresh, old: Tensor) -> Tensor:
    content = np.frombuffer(b"".join(fresh.chunks()), np.uint8).copy()
    made = torch.from_numpy(content).view(old.dtype).reshape(fresh.shape).to(old.device)
    return nn.Parameter(made, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else made


def _put(model: nn.Module, key: str, value: Tensor) -> None:
    path, _, name = key.rpartition(".")
    module = model.get_submodule(path)
    setattr(module, name, value)
    if isinstance(module, nn.Embedding) and name == "weight":
        module.num_embeddings = len(value)


def _describe(
    model: nn.Module, checkpoint: Checkpoint, target: Target, made: Mapping[str, Tensor], *, written: bool
) -> dict[str, Any]:
    tables = {table.key for table, _ in target.tables}
    changes = [
        {
            "kind": "table" if key in tables else "buffer", "file": "(in memory)", "name": key,
            "old": list(checkpoint.tensors[key].shape), "new": list(value.shape),
        }
        for key, value in made.items()
    ]  # fmt: skip
    changes += [
        {"kind": "field", "file": "(in memory)", "name": ".".join(path), "old": old, "new": new}
        for path, old, new in target.fields
    ]
    return {
        "schema_version": SCHEMA_VERSION, "source": type(model).__name__, "output": "(in memory)", "written": written,
        "family": checkpoint.family.name if checkpoint.family else None, "model_type": checkpoint.model_type,
        "method": str(target.method.spec), "guarantee": target.method.guarantee,
        "keeps_old_rows": target.method.keeps_old_rows, "unit": "pixels" if target.is_image else "positions", "from_length": shown_size(target.old),
        "to_length": shown_size(target.new), "milepost_version": __version__, "changes": changes, "checks": [],
    }  # fmt: skip
