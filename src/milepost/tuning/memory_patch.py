"""A table patch on a model in memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from milepost import __version__
from milepost.extension.documents import RECORD
from milepost.extension.in_memory import extend_in_memory, read_memory
from milepost.extension.methods import build_method
from milepost.tuning.patch import SCHEMA_VERSION, Patch, refused, require_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def patch_in_memory(model: PreTrainedModel, patch: Patch) -> dict[str, Any]:
    """Put the rows on a model in place, extending it first where it is shorter; one that is refused is as it was.

    Raises:
        PatchRefused: MP125, other rows before the patch, or another tensor among those that the model has.
    """
    held = dict(model.named_parameters()) | dict(model.named_buffers())
    checkpoint = read_memory(model, held)
    tables = [one for one in checkpoint.tables if _same(one.key, patch.key)]
    if len(tables) != 1:
        raise refused(f"no table {patch.key!a} in {type(model).__name__}")
    table = tables[0]
    require_rows(patch, table)
    compared = 0
    for name, (shape, wanted) in patch.base_tensors.items():
        for own, value in held.items():
            if _same(own, name) and own != table.key and list(value.shape) == list(shape):
                content = value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
                if hashlib.sha256(content).hexdigest() != wanted:
                    raise refused(f"{own!a} is another")
                compared += 1
    if not compared:
        raise refused("none of the patch's tensors in the model")
    if table.usable_length < patch.length:
        extend_in_memory(
            model, to=patch.length, method=build_method(patch.method, in_file=True), tensor=table.key
        )
    weight = model.get_parameter(table.key)
    with torch.no_grad():
        weight[table.first_row + patch.begin :] = torch.from_numpy(patch.rows).to(weight)
    old = getattr(model.config, RECORD, None)
    setattr(model.config, RECORD, {**(old if isinstance(old, dict) else {}), **patch.record})
    return {
        "schema_version": SCHEMA_VERSION, "source": type(model).__name__, "patch": "", "output": "(in memory)",
        "key": patch.key, "from_length": table.usable_length, "to_length": patch.length, "first_position": patch.begin,
        "milepost_version": __version__, "checks": [],
    }  # fmt: skip


def _same(one: str, other: str) -> bool:
    """Whether two names differ at most by a prefix that one class adds."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
