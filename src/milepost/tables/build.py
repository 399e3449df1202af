"""From stored numbers to a position table."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Final

import numpy as np

from milepost.errors import DataError, UnsafeFile
from milepost.tables.checkpoint import PositionTable, TensorEntry
from milepost.tables.numbers import DECODABLE
from milepost.tables.recognition import Match

MAX_TABLE_BYTES: Final = 512 * 1024 * 1024
COUNTS: Final = "trained_counts"
COUNTS_FILE: Final = "trained_counts.json"  # counts by table, beside weights that other libraries are to read
"""The name, beside a table's ``weight``, under which Milepost's layers store gradient counts per row (int64)."""


def counts_key(key: str) -> str:
    """The key of a table's gradient counts.

    >>> counts_key("embeddings.position_embeddings.weight")
    'embeddings.position_embeddings.trained_counts'
    """
    return f"{key.removesuffix('.weight')}.{COUNTS}"


def check_size(size: int, name: str) -> None:
    """Refuse what would fill the memory before it is read.

    Raises:
        UnsafeFile: MP130, past 512 MiB.
    """
    if size > MAX_TABLE_BYTES:
        raise UnsafeFile(
            f"{ascii(name)[:80]} is too large for a position table",
            got=f"{size} bytes",
            fix=f"at most {MAX_TABLE_BYTES} bytes are read",
        )


def read_counts(stored: object, rows: int) -> np.ndarray | None:
    """The counts of a table of so many rows, as ``trained_counts.json`` lists them; None for anything else.

    >>> read_counts([3, 0], 2).tolist(), read_counts([3, 0], 4)
    ([3, 0], None)
    """
    if not isinstance(stored, list) or len(stored) != rows:
        return None
    plain = all(type(one) is int and 0 <= one < 1 << 63 for one in stored)
    return np.array(stored, np.int64) if plain else None


def check_table(key: str, entry: TensorEntry) -> None:
    """Refuse a tensor that cannot be a position table, before its bytes are read.

    Raises:
        UnsafeFile: MP130, for packed or whole numbers, a size past all reason, or no two axes.
    """
    check_size(entry.elements * 8, key)
    if entry.dtype not in DECODABLE:
        raise UnsafeFile(
            f"{ascii(key)[:80]} does not hold floating-point numbers of a byte or more",
            got=f"dtype {entry.dtype!a}",
            fix="use the checkpoint before it was quantised or packed",
        )
    leading = entry.shape[:-2]
    if len(entry.shape) < 2 or any(axis != 1 for axis in leading) or entry.elements == 0:
        raise UnsafeFile(
            f"{ascii(key)[:80]} is no table of rows",
            got=f"shape {list(entry.shape)}",
            fix="wanted: (rows, dim), or with axes of 1 before",
        )


def build_table(
    key: str,
    numbers: np.ndarray,
    dtype: str,
    *,
    match: Match | None = None,
    first_row: int | None = None,
    counts: np.ndarray | None = None,
    total_parameters: int | None = None,
) -> PositionTable:
    """Put numbers and what the family says of them together.

    Args:
        key: the tensor's name.
        numbers: ``(rows, dim)``, or with axes of 1 before. Kept, not copied.
        dtype: as stored.
        match: the family's form of this table, with its configuration.
        first_row: the row of position 0, when the user names it; it goes before the family's.
        counts: gradients seen by each row, ``(rows,)``.
        total_parameters: of the whole model, when known.

    Raises:
        DataError: MP110, when position 0 lies past the last row. UnsafeFile: MP130, for no table.

    >>> build_table("wpe.weight", np.zeros((1, 6, 4), np.float32), "F32").rows.shape
    (6, 4)
    """
    check_table(key, TensorEntry(dtype, numbers.shape, "", 0, 0))
    rows = numbers.reshape(numbers.shape[-2:])
    if first_row is None:
        first_row = match.first_row() if match else 0
    if first_row >= len(rows):
        raise DataError(
            f"position 0 of {ascii(key)[:80]} lies past the last row",
            got=f"first row {first_row} of {len(rows)} rows",
            fix="check pad_token_id in config.json, or name it: --first-row N",
        )
    table = PositionTable(
        key=key,
        rows=rows,
        dtype=dtype,
        first_row=first_row,
        reserved_rows=tuple(range(first_row)),
        usable_length=len(rows) - first_row,
        trained_counts=counts,
        parameters=rows.size,
        share_of_model=rows.size / total_parameters if total_parameters else None,
    )
    return _with_form(table, match) if match else table


def _with_form(table: PositionTable, match: Match) -> PositionTable:
    form, grid, expected = match.form, match.grid(), match.expected_rows()
    return replace(
        table,
        padding_row=match.padding_row(),
        prefix_rows=form.prefix_rows,
        trailing_rows=match.trailing_rows(),
        grid=grid if expected == len(table.rows) else None,
        kind=form.kind,
        role=form.role,
        expected_rows=expected,
        length_field=match.length_field(),
        form=form,
    )


def parse_npy(raw: bytes, name: str) -> tuple[np.ndarray, str]:
    """The numbers of a ``.npy`` file, float32 or float64, and their dtype in the words of safetensors.

    Raises:
        UnsafeFile: MP130, for objects, malformed files and numbers that are no floats.
    """
    stream = io.BytesIO(raw)
    try:
        loaded = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=4096)
    except Exception as error:  # numpy parses the header as Python text; a malformed one raises anything
        raise UnsafeFile(
            f"{name!r} is no table that can be read", got=type(error).__name__, fix="save it with numpy.save"
        ) from None
    if loaded.dtype.kind != "f" or loaded.dtype.itemsize > 8 or stream.tell() != len(raw):
        raise UnsafeFile(
            f"{name!r} does not hold one table of floats",
            got=f"{ascii(str(loaded.dtype))[:80]}, {len(raw) - stream.tell()} bytes after it",
            fix="save it as float32 with numpy.save",
        )
    wide = np.float64 if loaded.dtype.itemsize == 8 else np.float32
    return loaded.astype(wide), f"F{8 * loaded.dtype.itemsize}"
