"""Tensors of a checkpoint that may be position tables too, and were not inspected."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from milepost.tables import Checkpoint

MOST: Final = 20
_LIKELY = re.compile(
    r"pos(?!t|s)|wpe|time_?(emb|step)|(emb|embed|embedding)s?_?time|temporal_emb", re.IGNORECASE
)
# weights of layers, and tables of distances
_OTHERWISE = re.compile(r"rel|bias|proj|linear|dense|conv|norm|att|mlp|lora|quant", re.IGNORECASE)


def find_others(checkpoint: Checkpoint, inspected: Iterable[str]) -> list[dict[str, Any]]:
    """Name the tensors whose names and shapes are like those of position tables, at most 20, in the order of the file.

    Nothing is concluded from this: it tells a reader what can be asked for by name.

    Returns:
        ``key``, ``rows`` and ``dim`` of each.
    """
    known = set(inspected)
    found = []
    for key, entry in checkpoint.tensors.items():
        named = _LIKELY.search(key) and not _OTHERWISE.search(key)
        rows_and_dim, leading = entry.shape[-2:], entry.shape[:-2]
        is_table = len(rows_and_dim) == 2 and min(rows_and_dim) >= 2 and all(axis == 1 for axis in leading)
        if key not in known and named and is_table and entry.dtype.startswith(("F", "BF")):
            found.append({"key": key, "rows": rows_and_dim[0], "dim": rows_and_dim[1]})
    return found[:MOST]
