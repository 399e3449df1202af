"""Stored buffers of a table's length: written anew by the rule that they follow, or refused where they follow none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from milepost.errors import ExtendRefused
from milepost.extension.methods.base import Grid, Method
from milepost.extension.methods.extend_rows import extend_rows
from milepost.extension.weights import Fresh
from milepost.tables import COUNTS, Checkpoint, Family, PositionTable, TensorEntry, decode, encode

_NUMPY: Final = {"I64": "<i8", "I32": "<i4", "F32": "<f4", "F16": "<f2", "U8": "u1", "BOOL": "?"}
_CHUNK_VALUES: Final = 1 << 20

Read = Callable[[str, int, int], bytes]


@dataclass(frozen=True, eq=False)
class Growth:
    """A table, the family that it belongs to, and its rows before and after."""

    table: PositionTable
    family: Family | None
    rows: np.ndarray
    to: int | Grid

    @property
    def more(self) -> int:
        """Rows that the table gains; negative for a crop."""
        return len(self.rows) - len(self.table.rows)

    @property
    def prefix(self) -> str:
        """What stands before the family's name of the table."""
        return self.table.key.removesuffix(self.table.form.suffix) if self.table.form else ""

    @property
    def module(self) -> str:
        """The module that holds the table."""
        return self.table.key.removesuffix(".weight").rpartition(".")[0]


def plan_buffers(checkpoint: Checkpoint, growth: Growth, method: Method, read: Read) -> dict[str, Fresh]:
    """What the buffers that follow one table become.

    Args:
        checkpoint: the model as read.
        growth: the table.
        method: how it grows, for buffers that hold learned rows themselves.
        read: gives bytes of a file: name, begin, end.

    Raises:
        ExtendRefused: MP123, for a buffer that holds something else than the family's rule says.
    """
    found: dict[str, Fresh] = {}
    counts = f"{growth.table.key.removesuffix('.weight')}.{COUNTS}"
    for key, entry in checkpoint.tensors.items():
        inside = key.removeprefix(growth.prefix)
        suffix = next(
            (name for name in _suffixes(growth) if inside == name or inside.endswith(f".{name}")), None
        )
        if key == counts and growth.table.trained_counts is not None:
            found[key] = _counts(growth, method)
        elif suffix is None or not key.startswith(growth.prefix):
            continue
        elif suffix in ("position_ids", "token_type_ids"):
            if key.rpartition(".")[0] in (growth.module, growth.module.rpartition(".")[0]):
                found[key] = _ids(key, entry, growth, read)
        elif suffix.endswith("attn.bias") or suffix.endswith("attention.bias"):
            if len(entry.shape) == 4:  # else it is the bias of a projection
                found[key] = _mask(key, entry, growth, checkpoint.config, read)
        elif suffix.endswith("weight_integer"):
            found[key] = _zeros(key, entry, growth, read)
        else:
            found[key] = _learned(key, entry, growth, method, read)
    return found


def _suffixes(growth: Growth) -> tuple[str, ...]:
    return (*growth.family.buffers, "token_type_ids") if growth.family else ()


def _counts(growth: Growth, method: Method) -> Fresh:
    """Gradients seen: those of rows that stay, and none of rows that were made."""
    old = growth.table.trained_counts
    assert old is not None
    made = np.zeros(len(growth.rows), "<i8")
    if method.keeps_old_rows:
        kept = min(len(made), len(old))
        made[:kept] = old[:kept]
    return Fresh.of(made.shape, made.tobytes())


def _ids(key: str, entry: TensorEntry, growth: Growth, read: Read) -> Fresh:
    """Position ids count up from their first; segment ids are zeros."""
    old = _values(key, entry, read)
    first = int(old[0]) if len(old) else 0
    step = 0 if key.endswith("token_type_ids") else 1
    length = entry.shape[-1]
    if any(axis != 1 for axis in entry.shape[:-1]) or not np.array_equal(
        old, first + step * np.arange(length)
    ):
        raise _refuse(key, "it does not count up one by one", entry)
    if length not in (len(growth.table.rows), growth.table.usable_length):
        raise _refuse(key, f"the table has {len(growth.table.rows)} rows", entry)
    new = length + growth.more
    content = (first + step * np.arange(new)).astype(_NUMPY[entry.dtype])
    return Fresh.of((*entry.shape[:-1], new), content.tobytes())


def _mask(key: str, entry: TensorEntry, growth: Growth, config: Any, read: Read) -> Fresh:
    """Causal masks: ones up to the diagonal; GPT-Neo's local layers see a window alone."""
    length = entry.shape[-1]
    if (
        entry.dtype not in _NUMPY
        or entry.shape[:2] != (1, 1)
        or entry.shape[2:] != (len(growth.table.rows),) * 2
    ):
        raise _refuse(key, f"the table has {len(growth.table.rows)} rows", entry)
    window = config.get("window_size")
    for reach in (None, window if isinstance(window, int) and window > 0 else None):
        at = entry.begin
        for chunk in _causal(length, entry.dtype, reach):
            if read(entry.file, at, at + len(chunk)) != chunk:
                break
            at += len(chunk)
        else:
            new = length + growth.more
            size = new * new * np.dtype(_NUMPY[entry.dtype]).itemsize
            return Fresh((1, 1, new, new), size, partial(_causal, new, entry.dtype, reach))
    raise _refuse(key, "it is no causal mask", entry)


def _causal(length: int, dtype: str, window: int | None) -> Iterator[bytes]:
    """The rows of a causal mask, some at a time."""
    seen = np.arange(length)
    step = max(1, _CHUNK_VALUES // max(length, 1))
    for begin in range(0, length, step):
        row = np.arange(begin, min(begin + step, length))[:, None]
        allowed = seen <= row
        if window is not None:
            allowed &= seen > row - window
        yield allowed.astype(_NUMPY[dtype]).tobytes()


def _zeros(key: str, entry: TensorEntry, growth: Growth, read: Read) -> Fresh:
    """I-BERT's whole-number copy of the table is empty until the model is quantised."""
    if _values(key, entry, read).any() or entry.shape[0] != len(growth.table.rows):
        raise _refuse(key, "the table is quantised", entry)
    content = bytes((entry.end - entry.begin) // entry.shape[0] * len(growth.rows))
    return Fresh.of((len(growth.rows), *entry.shape[1:]), content)


def _learned(key: str, entry: TensorEntry, growth: Growth, method: Method, read: Read) -> Fresh:
    """Further tables of the same rows, one a layer (YOLOS)."""
    if entry.shape[-2] != len(growth.table.rows):
        raise _refuse(key, f"the table has {len(growth.table.rows)} rows", entry)
    old = decode(read(entry.file, entry.begin, entry.end), entry.dtype).reshape(-1, *entry.shape[-2:])
    made = [
        extend_rows(replace(growth.table, rows=rows, dtype=entry.dtype), growth.to, method) for rows in old
    ]
    content = b"".join(encode(rows, entry.dtype) for rows in made)
    return Fresh.of((*entry.shape[:-2], len(growth.rows), entry.shape[-1]), content)


def _values(key: str, entry: TensorEntry, read: Read) -> np.ndarray:
    if entry.dtype not in _NUMPY:
        raise _refuse(key, "its numbers are of a kind that is not known here", entry)
    return np.frombuffer(read(entry.file, entry.begin, entry.end), _NUMPY[entry.dtype])


def _refuse(key: str, why: str, entry: TensorEntry) -> ExtendRefused:
    return ExtendRefused(
        f"the buffer {ascii(key)[:80]} cannot follow the table: {why}",
        got=f"{entry.dtype} {list(entry.shape)}",
        fix="load and save the model with transformers, which leaves such buffers out; then extend that",
    )


def refuse_quantised(checkpoint: Checkpoint, table: PositionTable) -> None:
    """Refuse a table whose numbers are not its values.

    Raises:
        ExtendRefused: MP123, for bytes as numbers, and for scales beside the table.
    """
    stem = table.key.removesuffix(".weight")
    beside: Iterable[str] = (
        key
        for key in checkpoint.tensors
        if key.startswith(f"{table.key}.")
        or key
        in {f"{stem}.{name}" for name in ("weight_scale", "weight_scale_inv", "scales", "qweight", "SCB")}
    )
    scales = next(iter(beside), None)
    if table.dtype not in ("F64", "F32", "F16", "BF16") or scales is not None:
        raise ExtendRefused(
            f"{ascii(table.key)[:80]} is quantised",
            got=f"dtype {table.dtype}" + (f", beside it {ascii(scales)[:80]}" if scales else ""),
            fix="extend the checkpoint that it was quantised from, then quantise again",
        )
