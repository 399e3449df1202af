"""Reading series: columns of numbers in a table of text, or series that need no file."""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from milepost.corpus.decoding import UTF_8, read_encoding
from milepost.corpus.sources import check_rows, is_there
from milepost.corpus.tables import iterate_rows
from milepost.corpus.text import BUILTIN_PREFIX
from milepost.errors import DataError, MissingExtra, OptionError, UnknownName
from milepost.storage.files import expand
from milepost.tasks.layout import (
    LAYOUTS,
    StackedSeries,
    count_ids,
    fill_gaps,
    find_layout,
    is_gap,
    is_index,
    is_number,
)

_DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}
FILLS = ("none", "previous", "linear")
_LONGEST = 300  # characters of an error's list of columns
_PEEK, _PEEK_CELLS = (
    1_000,
    1 << 18,
)  # rows that the layout and the columns of numbers are found in, and their cells


@dataclass(frozen=True)
class Series:
    """Channels that were measured at the same times.

    Args:
        name: what the user wrote, a path or ``builtin:NAME``.
        columns: names of the channels; ``0``, ``1``, ... where the table has no header.
        table: names of all columns of the table that they were read from.
        values: one row a step, in the order of time, one column a channel.
        notes: what a reader must know of how the table was read, a sentence each.
        layout: of the table: ``columns`` or ``rows``, one series in each.
    """

    name: str
    columns: tuple[str, ...]
    table: tuple[str, ...]
    values: Float64[np.ndarray, "steps channels"]
    notes: tuple[str, ...] = ()
    layout: str = "columns"

    @property
    def sha256(self) -> str:
        """Identity of names and numbers."""
        shown = repr((self.columns, self.values.shape)).encode()
        return hashlib.sha256(shown + np.ascontiguousarray(self.values).tobytes()).hexdigest()


@dataclass(frozen=True)
class _Table:
    """A table as it is read: its names, its rows in the order of the file, and the number of the first."""

    source: str
    names: tuple[str, ...]
    begin: list[list[str]]
    rows: Iterable[list[str]]
    first: int
    fill: str

    def number(self, cell: str, row: int, name: str) -> float:
        """The number in a cell; NaN for a gap that will be filled."""
        if is_number(cell):
            return float(cell)
        if self.fill != "none" and is_gap(cell):
            return np.nan
        if is_gap(cell):
            problem, fix = "a value of a series is missing", "fill gaps with --fill previous or --fill linear"
        else:
            problem, fix = "a cell of a series is not a finite number", "correct or empty the cell"
        raise DataError(
            problem,
            got=f"{self.source}: {cell[:40]!r} in row {row}, column {name[:80]}",
            fix=f"{fix}, or choose other columns with --text-column",
        )


def read_series(
    source: str,
    columns: str | None = None,
    *,
    header: bool = True,
    encoding: str = UTF_8,
    layout: str = "auto",
    fill: str = "none",
) -> Series:
    """Read a ``.csv``, ``.tsv`` or ``.txt`` table of series, or ``builtin:NAME``.

    Any newline ends a row. With one series per column each row is a step of time. With one series per row,
    the last steps of all series, as many as the shortest has, are taken for the same times.

    Args:
        source: path or ``builtin:NAME``.
        columns: names or indices of the channels, comma separated; by default all columns of numbers but those
            that count rows or time (``No``, ``year``, ``hour``), or all rows.
        header: whether the first row names the columns.
        encoding: of the file, as Python names it.
        layout: ``columns``, ``rows``, or ``auto`` to read it from the table.
        fill: what a cell without a value gets: ``previous`` or ``linear``; ``none`` refuses it.

    Raises:
        DataError: MP110, for what is missing, malformed, ambiguous or not a number, with its row.
        OptionError: MP105. UnknownName: MP104, no built-in of this name. MissingExtra: MP106.

    >>> read_series("builtin:seasons").values.shape
    (8000, 3)
    """
    for option, value, known in (("layout", layout, LAYOUTS), ("fill", fill, FILLS)):
        if value not in known:
            raise OptionError(
                f"invalid value for --{option}", got=value[:40], fix=f"choose from {', '.join(known)}"
            )
    if source.startswith(BUILTIN_PREFIX):
        name = source.removeprefix(BUILTIN_PREFIX)
        if name not in BUILTINS:
            raise UnknownName.among("built-in series", name, BUILTINS)
        names, values = BUILTINS[name]()
        chosen = _choose(columns, names, source, what="column")
        return Series(source, tuple(names[at] for at in chosen), names, values[:, chosen])
    table = _open(source, header=header, encoding=read_encoding(encoding), fill=fill)
    if layout == "auto":
        layout = find_layout(table.names, table.begin, header=header, source=source[:_LONGEST])
        stacked = StackedSeries(table.names, table.begin)
    else:
        stacked = StackedSeries((), ())  # the user has said what the rows are
    series = _read_columns(table, columns, stacked) if layout == "columns" else _read_rows(table, columns)
    return _filled(series, fill)


def _open(source: str, *, header: bool, encoding: str, fill: str) -> _Table:
    file = expand(source)
    if file.suffix.lower() not in _DELIMITERS or not is_there(file):
        raise DataError(
            "there is no table of series at this path",
            got=source[:300],
            fix=f"give a {', '.join(_DELIMITERS)} file, or builtin:seasons",
        )
    found = iterate_rows(file, {"delimiter": _DELIMITERS[file.suffix.lower()]}, encoding)
    rows = (row for _, row in found)
    begin = _peek(rows, _PEEK + header)
    if not begin:
        raise DataError("the table is empty", got=str(file), fix="give rows of numbers")
    names = tuple(cell.strip() for cell in begin[0]) if header else tuple(map(str, range(len(begin[0]))))
    if header and any(is_number(name) and not name.lstrip("+-").isdecimal() for name in names):
        raise DataError(
            "the first row is no header: it holds numbers",
            got=f"{source}: {', '.join(names)[:60]}",
            fix="--no-header, or name the columns",
        )
    if len(begin) == header:
        raise DataError(
            "the table holds no steps", got=f"{source}: a header alone", fix="give rows of numbers"
        )
    body = begin[header:]
    return _Table(source, names, body, itertools.chain(body, rows), 1 + header, fill)


def _peek(rows: Iterable[list[str]], most: int) -> list[list[str]]:
    """The first rows, fewer of wide ones."""
    begin: list[list[str]] = []
    cells = 0
    for row in rows:
        begin.append(row)
        cells += len(row)
        if len(begin) == most or (cells > _PEEK_CELLS and len(begin) > 1):
            break
    return begin


def _read_columns(table: _Table, columns: str | None, stacked: StackedSeries) -> Series:
    """One series per column: numbers a row at a time, for as text they take eight times the memory."""
    source, names = table.source, table.names
    if columns is not None:
        chosen = _choose(columns, names, source, what="column")
    else:
        chosen = [at for at in range(len(names)) if _first_value(table.begin, at, is_number)]
    if not chosen:
        raise DataError(
            "no column of the table begins with a number",
            got=f"{source}: columns {', '.join(names)}"[:_LONGEST],
            fix="name the columns of values with --text-column; is there a header, or none (--no-header)?",
        )
    numbers = array("d")
    for number, row in enumerate(table.rows, table.first):
        if len(row) != len(names):
            raise DataError(
                "a row of the table is longer or shorter than the first",
                got=f"{source}: {len(row)} cells in row {number}, {len(names)} in row 1",
                fix="give one row a step and one column a channel, separated by commas (tabs in a .tsv)",
            )
        check_rows(source, number)
        stacked.add(row)
        numbers.extend(table.number(row[at], number, names[at]) for at in chosen)
    if (found := stacked.found()) is not None:
        label, time = (names[at][:80] for at in found)
        raise DataError(
            "the table holds several series below one another",
            got=f"{source}: column {label} names a series, and the times in {time} begin again with each",
            fix="write one column per series (pandas: pivot), or the rows of one series, to a file of its own; "
            "--layout columns reads all rows as one series",
        )
    values = np.frombuffer(numbers, np.float64).reshape(-1, len(chosen))
    if columns is not None:
        return Series(source, tuple(names[at] for at in chosen), names, values)
    kept = [place for place, at in enumerate(chosen) if not is_index(names[at], values[:, place])]
    if not kept:
        kept = list(range(len(chosen)))
    left = [names[at] for place, at in enumerate(chosen) if place not in kept]
    empty = [names[at] for at in range(len(names)) if not _first_value(table.begin, at, lambda _: True)]
    notes = [
        f"Not forecast: {', '.join(name or '(unnamed)' for name in which)[:_LONGEST]} ({reason}). --text-column names the channels to forecast."
        for which, reason in ((left, "counts rows or time"), (empty, f"no value in the first {len(table.begin):,} rows"))
        if which
    ]  # fmt: skip
    return Series(source, tuple(names[chosen[place]] for place in kept), names, values[:, kept], tuple(notes))


def _read_rows(table: _Table, columns: str | None) -> Series:
    """One series per row: its label, then its values; what is empty behind the last one is no gap."""
    source, ids = table.source, count_ids(table.names, table.begin)
    labels: list[str] = []
    found: list[array[float]] = []
    for number, row in enumerate(table.rows, table.first):
        check_rows(source, number)
        end = next((at for at in range(len(row), ids, -1) if not is_gap(row[at - 1])), ids)
        labels.append(row[0].strip() if ids and row else str(number - table.first))
        found.append(
            array("d", (table.number(cell, number, str(at)) for at, cell in enumerate(row[ids:end], ids)))
        )
    chosen = range(len(labels)) if columns is None else _choose(columns, labels, source, what="row")
    sizes = [len(found[at]) for at in chosen]
    shortest, longest = min(sizes), max(sizes)
    if not shortest:
        raise DataError(
            "a series has no values",
            got=f"{source}: row {table.first + chosen[sizes.index(0)]}",
            fix="leave the row out, or name other rows with --text-column",
        )
    values = np.stack([np.array(found[at][len(found[at]) - shortest :]) for at in chosen], 1)
    notes = [
        f"The table is read as one series per row: {len(sizes):,} series. --layout columns reads it otherwise."
    ]
    if shortest < longest:
        notes.append(
            f"The series have {shortest:,} to {longest:,} steps; the last {shortest:,} of each are used. "
            "--text-column names rows, to leave short series out."
        )
    return Series(source, tuple(labels[at] for at in chosen), tuple(labels), values, tuple(notes), "rows")


def _filled(series: Series, fill: str) -> Series:
    gaps = ~np.isfinite(series.values)
    if not gaps.any():
        return series
    for name, empty in zip(series.columns, gaps.all(0), strict=True):
        if empty:
            raise DataError(
                "a series has no values", got=f"{series.name}: {name}"[:_LONGEST], fix="leave it out"
            )
    values = np.stack([fill_gaps(column, fill) for column in series.values.T], 1)
    note = f"{gaps.sum():,} of {gaps.size:,} values were missing and are filled ({fill})."
    return replace(series, values=values, notes=(*series.notes, note))


def _first_value(rows: Iterable[Sequence[str]], at: int, test: Callable[[str], bool]) -> bool:
    """Whether a column has a value, and the first one passes."""
    return next((test(row[at]) for row in rows if at < len(row) and not is_gap(row[at])), False)


def _choose(columns: str | None, names: Sequence[str], source: str, *, what: str) -> list[int]:
    """Indices of the channels that the user names; all by default."""
    if columns is None:
        return list(range(len(names)))
    known = {name: at for at, name in reversed(list(enumerate(names)))}
    chosen = []
    for wanted in (part.strip() for part in columns.split(",")):
        if wanted in known:
            chosen.append(known[wanted])
        elif wanted.isdecimal() and int(wanted) < len(names):
            chosen.append(int(wanted))
        else:
            raise DataError(
                f"the table has no such {what}",
                got=f"{source}: {wanted or '(nothing)'}"[:_LONGEST],
                fix=f"one or more of {', '.join(names)}"[:_LONGEST],
            )
    return list(dict.fromkeys(chosen))


def _seasons() -> tuple[tuple[str, ...], Float64[np.ndarray, "steps channels"]]:
    """Cycles of 24 and of 168 steps of different weight, and noise that remembers its last step."""
    rng = np.random.default_rng(0)
    time = np.arange(8000)[:, None]
    weights, phases = rng.uniform(0.5, 1.5, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
    values = sum(
        weights[at] * np.sin(2 * np.pi * time / period + phases[at]) for at, period in enumerate((24, 168))
    )
    noise = rng.normal(0.0, 0.2, values.shape)
    for step in range(1, len(noise)):
        noise[step] += 0.7 * noise[step - 1]
    return ("a", "b", "c"), values + noise


def _sunspots() -> tuple[tuple[str, ...], Float64[np.ndarray, "steps channels"]]:
    try:
        from statsmodels.datasets import sunspots
    except ImportError as error:
        raise MissingExtra.of("data", error.name or "statsmodels") from None
    return ("sunactivity",), sunspots.load_pandas().data[["SUNACTIVITY"]].to_numpy(np.float64)


BUILTINS: dict[str, Callable[[], tuple[tuple[str, ...], Float64[np.ndarray, "steps channels"]]]] = {
    "seasons": _seasons,
    "sunspots": _sunspots,
}
"""Series by name: generated, or inside an installed package."""
