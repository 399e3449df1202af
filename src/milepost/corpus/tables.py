"""Columns of text out of tables: JSON lines, comma or tab separated values, Parquet."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from milepost.corpus.decoding import UTF_8
from milepost.corpus.parquet import read_parquet
from milepost.corpus.sources import MAX_LINE_CHARACTERS, check_rows, iterate_lines, too_long
from milepost.errors import DataError
from milepost.storage.folder import MAX_JSON_VALUES

Choose = Callable[[Sequence[str]], list[int]]
Cells = list[list[str]]

_DIALECTS: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ",", "strict": True},
    # the registered media type has no quoting, and messages with a stray quote are common
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
SUFFIXES = (".jsonl", *_DIALECTS, ".parquet")
_LONGEST = 300  # characters of an error's list of columns


def read_columns(file: Path, choose: Choose, *, header: bool = True, encoding: str = UTF_8) -> Cells:
    """Read columns of a table.

    A column without a value in some row is an empty text there. Commas in ``.csv`` may be quoted;
    ``.tsv`` has no quoting.

    Args:
        file: of one of ``SUFFIXES``.
        choose: told the names of all columns, answers with the indices of those wanted; see ``find_column``.
        header: whether the first row of a ``.csv`` or ``.tsv`` holds names; without, they are 0, 1, 2, ...
        encoding: of text files; Parquet has its own.

    Returns:
        A list for each row, of a text for each column wanted; numbers as Python writes them.

    Raises:
        DataError: MP110, with the line, for what is malformed; for more rows than ``MAX_ROWS``, lines longer
            than ``MAX_LINE_CHARACTERS`` or more data than ``MAX_DATA_BYTES``. MissingExtra: MP106, Parquet without pyarrow.
    """
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return read_parquet(file, choose)
    if suffix == ".jsonl":
        return _json_lines(file, choose, encoding)
    return _separated(file, choose, header, encoding, _DIALECTS[suffix])


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


def _separated(file: Path, choose: Choose, header: bool, encoding: str, dialect: dict[str, Any]) -> Cells:
    names: list[str] = []
    chosen: list[int] = []
    cells: Cells = []
    for line, row in iterate_rows(file, dialect, encoding):
        if not names:
            names = row if header else [str(index) for index in range(len(row))]
            chosen = choose(names)
            if header:
                continue
        if len(row) != len(names):
            raise DataError(
                "a row has another number of fields than the first",
                got=f"{file}, line {line}: {len(row)} fields, {len(names)} in the first row",
                fix="quote fields that hold commas or newlines, in a .csv; a .tsv has no quoting",
            )
        cells.append([row[index] for index in chosen])
        check_rows(str(file), len(cells))
    return cells


def iterate_rows(
    file: Path, dialect: dict[str, Any], encoding: str = UTF_8
) -> Iterator[tuple[int, list[str]]]:
    """Rows of separated values that are not blank, each with the line on which it begins.

    Args:
        file: any newlines.
        dialect: as of the module ``csv``.
        encoding: of the file.

    Raises:
        DataError: MP110, for what cannot be read, with the line; for rows of more than
            ``MAX_LINE_CHARACTERS`` characters.
    """
    line, taken = 1, 0

    def bounded() -> Iterator[str]:
        nonlocal taken
        for text in iterate_lines(file, encoding):
            taken += len(text)
            if taken > MAX_LINE_CHARACTERS:
                raise too_long(f"{file}, the row from line {line} on")
            yield text

    reader = csv.reader(bounded(), **dialect)
    try:
        with _long_fields():
            for row in reader:
                if row:
                    yield line, row
                line, taken = reader.line_num + 1, 0
    except csv.Error as error:
        raise DataError(
            "a row cannot be read",
            got=f"{file}, the row from line {line} on: {error}",
            fix="close each quote that opens, and double each one inside quotes",
        ) from None


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    # documents are longer than the 131,072 characters that the module allows a field of anyone's reader
    before = csv.field_size_limit(MAX_LINE_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json_lines(file: Path, choose: Choose, encoding: str) -> Cells:
    cells: Cells = []
    wanted: list[str] = []
    for number, line in enumerate(iterate_lines(file, encoding), 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        record = _record(line, place)
        if not wanted:
            names = list(record)
            wanted = [names[index] for index in choose(names)]
        missing = [name for name in wanted if name not in record]
        if missing:
            raise DataError(
                f"a line lacks {missing[0][:80]!r}",
                got=f"{place}: it has {', '.join(map(repr, record))}"[:_LONGEST],
                fix="give all lines the same names",
            )
        cells.append([_text(record[name], place, name) for name in wanted])
        check_rows(str(file), len(cells))
    return cells


def _record(line: str, place: str) -> dict[str, Any]:
    try:
        if line.count("[") + line.count("{") > MAX_JSON_VALUES:
            raise ValueError("it holds too many lists")
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise DataError("a line is not JSON", got=f"{place}: {reason}", fix="correct or drop it") from None
    if not isinstance(record, dict):
        raise DataError(
            "a line is no JSON object", got=f"{place}: {line[:80].strip()}", fix='{"text": ...} on each line'
        )
    return record


def _text(value: object, place: str, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        try:
            return str(value)
        except ValueError:  # Python writes no whole number of thousands of digits
            raise DataError(
                f"{name[:80]!r} holds a number of too many digits", got=place, fix="write it as text"
            ) from None
    raise DataError(
        f"{name[:80]!r} holds something other than text",
        got=f"{place}: {type(value).__name__}",
        fix="name another column",
    )
