"""How a table holds series: one per column or one per row, and which columns only count rows or time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from milepost.errors import DataError

LAYOUTS = ("auto", "columns", "rows")
GAPS = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))
"""What stands in a cell without a value, in lower case."""
_FEWEST = 8  # value columns of a table with one series per row; with fewer it says nothing
_MANY = 20  # value columns; with more of them than rows, a table with one series per column is rare
_TIME = re.compile(r"\d{1,4}[-/.:]\d{1,2}([-/.: T]|$)")
_TIME_NAMES = frozenset(("date", "datetime", "time", "timestamp", "ds", "period", "day", "month", "year"))
_COUNTERS = frozenset(("no", "nr", "index", "idx", "id", "row", "step", "unnamed: 0", ""))
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{4}[-/.]\d{1,2}$")
_SERIES_TIMES = frozenset(
    ("ds", "date", "datetime", "time", "timestamp", "time_idx", "t", "step", "period", "year")
)
_LABEL_NAMES = frozenset(
    ("unique_id", "id", "item_id", "item", "series", "series_id", "ts_id", "store", "store_id", "group")
)
_CALENDAR = {
    "year": (1000, 3000), "quarter": (1, 4), "month": (1, 12), "week": (0, 53), "weekday": (0, 7), "dayofweek": (0, 7),
    "day": (1, 31), "dayofyear": (1, 366), "hour": (0, 24), "minute": (0, 59), "second": (0, 60),
}  # fmt: skip


def is_gap(cell: str) -> bool:
    """Whether a cell has no value."""
    return cell.strip().lower() in GAPS


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number, as Python reads it but without underscores."""
    try:
        return bool(np.isfinite(float(cell))) and "_" not in cell
    except ValueError:
        return False


def count_ids(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Leading columns that name a series: those that hold no numbers, or that the header calls an index."""
    for at, name in enumerate(names):
        cells = [row[at] for row in rows if at < len(row) and not is_gap(row[at])]
        if all(map(is_number, cells)) and not (at == 0 and name.strip().lower() in _COUNTERS - {""}):
            return at
    return len(names)


def find_layout(names: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool, source: str) -> str:
    """Whether a table has one series per column or per row, from its header and first rows.

    One series per row is what the table says where labels that are no times are followed by values whose header
    counts, or that end at different columns.

    Returns:
        ``columns`` or ``rows``.

    Raises:
        DataError: MP110, where both are likely.

    >>> find_layout(["id", *map(str, range(1990, 2000))], [["a", *"1234567890"], ["b", *"1234567890"]],
    ...             header=True, source="x.csv")
    'rows'
    """
    ids = count_ids(names, rows)
    wide = len(names) - ids
    labels = [row[0].strip() for row in rows if row]
    labelled = (
        0 < ids < len(names)
        and len(set(labels)) == len(labels)
        and not any(map(_TIME.match, labels))
        and names[0].strip().lower() not in _TIME_NAMES
    )
    counted = header and _is_counted([name.strip() for name in names[ids:]])
    ends = {max((at for at, cell in enumerate(row) if not is_gap(cell)), default=0) for row in rows}
    ragged = len(ends) > max(1, len(rows) // 10)
    if wide >= _FEWEST and labelled and (ragged or (counted and len(rows) <= 4 * wide)):
        return "rows"
    if (wide >= _MANY and (wide > len(rows) or ragged)) or (wide >= _FEWEST and labelled and counted):
        raise DataError(
            "the table may hold one series per column or one per row",
            got=f"{source}: {wide} columns of values and {len(rows)}{' or more' * (len(rows) >= 1000)} rows",
            fix="--layout columns, where each row is a step of time; --layout rows, where each row is a series",
        )
    return "columns"


def is_index(name: str, values: Float64[np.ndarray, " steps"]) -> bool:
    """Whether a column counts rows or time: it rises by the same whole number, or is a part of the date.

    >>> is_index("No", np.arange(1.0, 100)), is_index("hour", np.arange(99.0) % 24), is_index("x", np.arange(99.0) % 24)
    (True, True, False)
    """
    values = values[np.isfinite(values)]
    if len(values) < _FEWEST or (values != np.round(values)).any():
        return False
    steps = np.diff(values)
    low, high = _CALENDAR.get(name.strip().lower(), (1, 0))
    return bool((steps[0] != 0 and (steps == steps[0]).all()) or ((low <= values) & (values <= high)).all())


class StackedSeries:
    """Tells whether a table holds several series below one another, from its rows as they are read.

    A column of labels says so where each change of its label, and nothing else, takes a column of times back
    (``a, 1 · a, 2 · b, 1 · b, 2``), or where each time comes once for each of several labels
    (``1, a · 1, b · 2, a · 2, b``).

    Args:
        names: of the columns.
        rows: the first ones.

    >>> rows = [["a", "1", "5"], ["a", "2", "6"], ["b", "1", "7"], ["b", "2", "8"]]
    >>> stacked = StackedSeries(["unique_id", "ds", "y"], rows)
    >>> for row in rows: stacked.add(row)
    >>> stacked.found()
    (0, 1)
    """

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        shown = [name.strip().lower() for name in names]
        times = [at for at, name in enumerate(shown) if _is_time(name, _first_cell(rows, at))]
        labels = [
            at
            for at, name in enumerate(shown)
            if at not in times and name not in _CALENDAR and _is_label(name, _first_cell(rows, at))
        ]
        keys = [(at,) for at in labels] + ([tuple(labels)] if len(labels) > 1 else [])
        self._pairs = [_Pair(key, time) for key in keys for time in times]

    def add(self, row: Sequence[str]) -> None:
        """Take the next row into account."""
        if self._pairs:
            self._pairs = [pair for pair in self._pairs if pair.add(row)]

    def found(self) -> tuple[int, int] | None:
        """Places of the columns of labels and of times, or None where the rows are one series."""
        return next(((pair.labels[0], pair.time) for pair in self._pairs if pair.is_stacked), None)


class _Pair:
    """Columns of labels, and a column of times that they may start again."""

    def __init__(self, labels: tuple[int, ...], time: int) -> None:
        self.labels, self.time = labels, time
        self._first: tuple[float | str, ...] | None = None
        self._last: tuple[tuple[str, ...], tuple[float | str, ...]] | None = None
        self._blocks, self._is_blocks = 1, True  # one series after the other
        self._at_once: set[tuple[str, ...]] = set()  # labels of the present time
        self._rows, self._times, self._is_mixed = 0, 0, True  # all series at one time, then at the next

    def add(self, row: Sequence[str]) -> bool:
        """Take a row into account; False where the pair is not what makes series."""
        label, moment = tuple(row[at].strip() for at in self.labels), _moment(row[self.time])
        if self._last is None:
            self._first = moment
            again = returns = False
        else:
            again, returns = moment == self._last[1], self._returns(moment)
            if (label != self._last[0]) != returns:
                self._is_blocks = False
            self._blocks += returns
        if not again:
            self._at_once.clear()
            self._times += 1
        self._is_mixed &= label not in self._at_once and (again or not returns)
        self._at_once.add(label)
        self._rows += 1
        self._last = (label, moment)
        return self._is_blocks or self._is_mixed

    def _returns(self, moment: tuple[float | str, ...]) -> bool:
        assert self._last is not None
        if all(isinstance(part, float) for part in (*moment, *self._last[1])):
            return moment <= self._last[1]
        return moment == self._first  # in another order than that of time, a day of the first series says it

    @property
    def is_stacked(self) -> bool:
        return (self._is_blocks and 1 < self._blocks < self._rows) or (
            self._is_mixed and self._rows >= 1.5 * self._times
        )


def _moment(cell: str) -> tuple[float | str, ...]:
    """A time that can be compared, or its text where its parts do not stand in the order of time."""
    text = cell.strip()
    if is_number(text):
        return (float(text),)
    if re.match(r"\d{4}[-/.]\d", text):
        return tuple(float(part) for part in re.findall(r"\d{1,9}", text))
    return (text,)


def _first_cell(rows: Sequence[Sequence[str]], at: int) -> str:
    return next((row[at].strip() for row in rows if at < len(row) and not is_gap(row[at])), "")


def _is_time(name: str, cell: str) -> bool:
    """Whether a column holds times; those of a day (``12:30``) come again each day."""
    if is_number(cell):
        return name in _SERIES_TIMES
    return bool(_DATE.match(cell))


def _is_label(name: str, cell: str) -> bool:
    return name in _LABEL_NAMES if is_number(cell) else bool(cell) and not _TIME.match(cell)


def fill_gaps(values: Float64[np.ndarray, " steps"], fill: str) -> Float64[np.ndarray, " steps"]:
    """Give each step without a value the one before it, or one on the line between its neighbours.

    Steps before the first value get the first value, steps after the last one the last.

    >>> fill_gaps(np.array([np.nan, 1.0, np.nan, 3.0]), "linear").tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    known = np.flatnonzero(np.isfinite(values))
    if fill == "linear":
        return np.interp(np.arange(len(values)), known, values[known])
    before = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    return values[known[np.maximum(before, 0)]]


def _is_counted(names: Sequence[str]) -> bool:
    """Whether names are times, or one word with numbers that rise by one."""
    if all(map(_TIME.match, names)):
        return True
    parts = [re.fullmatch(r"(.*?)(\d{1,9})", name) for name in names]
    found = [(part[1], int(part[2])) for part in parts if part]
    return len(found) == len(names) and all(
        before[0] == after[0] and before[1] + 1 == after[1] for before, after in itertools.pairwise(found)
    )
