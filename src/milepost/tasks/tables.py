"""Columns of text out of tables: JSON lines, comma or tab separated values, Parquet."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from milepost.errors import DataError, MissingExtra
from milepost.tasks.sources import read_characters

Choose = Callable[[Sequence[str]], list[int]]
Cells = list[list[str]]

_DIALECTS: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ",", "strict": True},
    # the registered media type has no quoting, and messages with a stray quote are common
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
SUFFIXES = (".jsonl", *_DIALECTS, ".parquet")
_LONGEST = 300  # characters of an error's list of columns


def read_columns(file: Path, choose: Choose, *, header: bool = True) -> Cells:
    """Read columns of a table.

    A column without a value in some row is an empty text there. Commas in ``.csv`` may be quoted;
    ``.tsv`` has no quoting.

    Args:
        file: of one of ``SUFFIXES``.
        choose: told the names of all columns, answers with the indices of those wanted; see ``find_column``.
        header: whether the first row of a ``.csv`` or ``.tsv`` holds names; without, they are 0, 1, 2, ...

    Returns:
        A list for each row, of a text for each column wanted; numbers as Python writes them.

    Raises:
        DataError: MP110, with the line, for what is malformed. MissingExtra: MP106, Parquet without pyarrow.
    """
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _parquet(file, choose)
    if suffix == ".jsonl":
        return _json_lines(file, choose)
    return _separated(file, choose, header, _DIALECTS[suffix])


def find_column(wanted: str | None, names: Sequence[str], *, default: str, option: str) -> int:
    """The index of a column that the user named, or that needs no naming.

    Args:
        wanted: a name, an index from 0, or nothing: the column named ``default``, or the only one.
        names: of all columns.
        default: the name that is looked for.
        option: that names the column, for the error.

    Raises:
        DataError: MP110, with the columns there are.

    >>> find_column("2", ["id", "label", "body"], default="text", option="--text-column")
    2
    """
    if wanted is None and len(names) == 1:
        return 0
    name = default if wanted is None else wanted
    if list(names).count(name) == 1:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names) and name not in names:
        return int(name)
    times = list(names).count(name)
    raise DataError(
        f"the data has {times or 'no'} column{'s' * (times > 1)} named {name[:80]!r}",
        got=f"the columns {', '.join(map(repr, names))}"[:_LONGEST],
        fix=f"name one with {option}, by name or by index from 0, and give --no-header where the first row is data",
    )


def _separated(file: Path, choose: Choose, header: bool, dialect: dict[str, Any]) -> Cells:
    rows = _rows(file, dialect)
    if not rows:
        return []
    first = rows[0][1]
    names = first if header else [str(index) for index in range(len(first))]
    chosen, cells = choose(names), []
    for line, row in rows[header:]:
        if len(row) != len(names):
            raise DataError(
                "a row has another number of fields than the first",
                got=f"{file}, line {line}: {len(row)} fields, {len(names)} in the first row",
                fix="quote fields that hold commas or newlines, in a .csv; a .tsv has no quoting",
            )
        cells.append([row[index] for index in chosen])
    return cells


def _rows(file: Path, dialect: dict[str, Any]) -> list[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line on which it begins."""
    text = read_characters(file)
    reader, rows, line = csv.reader(io.StringIO(text), **dialect), [], 1
    try:
        with _long_fields(len(text)):
            for row in reader:
                if row:
                    rows.append((line, row))
                line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            "a row cannot be read",
            got=f"{file}, the row from line {line} on: {error}",
            fix="mend its quotes: each that opens must close, and one within is doubled",
        ) from None
    return rows


@contextlib.contextmanager
def _long_fields(characters: int) -> Iterator[None]:
    # documents are longer than the 131,072 characters that the module allows a field of anyone's reader
    before = csv.field_size_limit(min(max(characters, 1), 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json_lines(file: Path, choose: Choose) -> Cells:
    cells: Cells = []
    wanted: list[str] = []
    for number, line in enumerate(read_characters(file).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "nested too deep"
            raise DataError("a line is not JSON", got=f"{place}: {reason}", fix="mend or drop it") from None
        if not isinstance(record, dict):
            raise DataError(
                "a line is no JSON object", got=f"{place}: {line[:80]}", fix='{"text": ...} a line'
            )
        if not wanted:
            names = list(record)
            wanted = [names[index] for index in choose(names)]
        missing = [name for name in wanted if name not in record]
        if missing:
            raise DataError(
                f"a line lacks {missing[0]!r}",
                got=f"{place}: it has {', '.join(map(repr, record))}"[:_LONGEST],
                fix="give all lines the same names",
            )
        cells.append([_text(record[name], place, name) for name in wanted])
    return cells


def _parquet(file: Path, choose: Choose) -> Cells:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra.of("parquet", "pyarrow") from None
    try:
        with parquet.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            wanted = [names[index] for index in choose(names)]
            table = opened.read(columns=list(dict.fromkeys(wanted)))
        columns = [table.column(name).to_pylist() for name in wanted]
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            "a Parquet file cannot be read",
            got=f"{file}: {' '.join(str(error).split())[:200]}",
            fix="get the file again",
        ) from None
    return [
        [_text(value, f"{file}, row {number}", name) for value, name in zip(row, wanted, strict=True)]
        for number, row in enumerate(zip(*columns, strict=True))
    ]


def _text(value: object, place: str, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    raise DataError(
        f"{name!r} holds something other than text",
        got=f"{place}: {type(value).__name__}",
        fix="name another column",
    )
