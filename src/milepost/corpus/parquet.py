"""Columns of text out of Parquet files, in pieces: a small file can hold gigabytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from milepost.corpus.sources import check_rows, check_size
from milepost.errors import DataError, MilepostError, MissingExtra
from milepost.storage.files import open_regular

MAX_RATIO: Final = 200
"""Bytes that one byte of a file may hold, once they are more than ``FREE_BYTES``."""
FREE_BYTES: Final = 1 << 26
_MOST_ROWS, _BATCH_BYTES = 1024, 1 << 24  # of one batch


def read_parquet(file: Path, choose: Callable[[Sequence[str]], list[int]]) -> list[list[str]]:
    """Read columns of text or numbers.

    Args:
        file: of Parquet format.
        choose: told the names of all columns, answers with the indices of those wanted.

    Returns:
        A list for each row, of a text for each column wanted; numbers as Python writes them, empty for null.

    Raises:
        DataError: MP110, for a damaged file, columns of another type or of the same name, and files that hold
            more than ``MAX_DATA_BYTES`` or ``MAX_ROWS``. MissingExtra: MP106, without pyarrow.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra.of("parquet", "pyarrow") from None
    try:
        with open_regular(file) as stream, parquet.ParquetFile(stream) as opened:
            packed = os.fstat(stream.fileno()).st_size
            check_size(file, packed)
            schema = opened.schema_arrow
            wanted = [schema.field(index) for index in choose(schema.names)]
            _check(file, schema, wanted)
            rows = _size(file, opened.metadata, packed)
        names = [field.name for field in wanted]
        # strings that repeat are then held once, as in the file
        with (
            open_regular(file) as stream,
            parquet.ParquetFile(stream, read_dictionary=names, pre_buffer=False) as opened,
        ):
            return [
                list(row)
                for batch in _batches(file, opened.iter_batches(rows, columns=list(dict.fromkeys(names))))
                for row in zip(*(_texts(batch.column(name)) for name in names), strict=True)
            ]
    except MilepostError:
        raise
    # the library raises errors of many kinds for damaged files: its own, KeyError, UnicodeDecodeError
    except Exception as error:
        raise DataError(
            "a Parquet file cannot be read",
            got=f"{file}: {' '.join(str(error).split())[:200] or type(error).__name__}",
            fix="get the file again, or write its text as UTF-8",
        ) from None


def _check(file: Path, schema: Any, wanted: Sequence[Any]) -> None:
    """Refuse columns that a name does not tell apart, and those that hold neither text nor numbers."""
    from pyarrow import types

    for field in wanted:
        if schema.names.count(field.name) > 1:
            raise DataError(
                f"two columns have the name {field.name[:80]!r}", got=str(file), fix="rename one of them"
            )
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        plain = (types.is_string, types.is_large_string, types.is_integer, types.is_floating)
        if not any(test(kind) for test in (*plain, types.is_boolean, types.is_null)):
            raise DataError(
                f"{field.name[:80]!r} holds something other than text",
                got=f"{file}: {str(field.type)[:80]}",
                fix="name another column",
            )


def _size(file: Path, metadata: Any, packed: int) -> int:
    """How many rows to read at a time; a file that says that it holds too much is refused."""
    check_rows(str(file), metadata.num_rows)
    # not the sizes of columns: pyarrow 25 ends the process where the metadata of one are damaged
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    whole = sum(group.total_byte_size for group in groups)
    if whole > max(FREE_BYTES, MAX_RATIO * packed):
        raise DataError(
            "a Parquet file is compressed too far",
            got=f"{file}: {whole:,} bytes in {packed:,}",
            fix=f"write it with at most {MAX_RATIO} bytes in each byte of the file",
        )
    return max(1, min(_MOST_ROWS, _BATCH_BYTES * max(metadata.num_rows, 1) // max(whole, 1)))


def _batches(file: Path, batches: Iterator[Any]) -> Iterator[Any]:
    """Batches of rows, as long as the text in them is not too much: values that repeat are small in the file."""
    rows = characters = 0
    for batch in batches:
        rows += batch.num_rows
        check_rows(str(file), rows)
        characters += sum(map(_bytes, batch.columns))
        check_size(file, characters)
        yield batch


def _bytes(column: Any) -> int:
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        sizes = compute.take(compute.binary_length(column.dictionary), column.indices)
        return compute.sum(sizes).as_py() or 0
    return int(column.nbytes)


def _texts(column: Any) -> list[str]:
    from pyarrow import types

    if types.is_dictionary(column.type):
        values = _texts(column.dictionary)
        return ["" if place is None else values[place] for place in column.indices.to_pylist()]
    return ["" if value is None else str(value) for value in column.to_pylist()]
