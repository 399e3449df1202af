"""Reading series: columns of numbers in a table of text, or series that need no file."""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from milepost.errors import DataError, MissingExtra, UnknownName
from milepost.files import expand
from milepost.tasks.sources import check_rows, is_there
from milepost.tasks.tables import iterate_rows
from milepost.tasks.text import BUILTIN_PREFIX

_DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}
_LONGEST = 300  # characters of an error's list of columns


@dataclass(frozen=True)
class Series:
    """Channels that were measured at the same times.

    Args:
        name: what the user wrote, a path or ``builtin:NAME``.
        columns: names of the channels; ``0``, ``1``, ... where the table has no header.
        table: names of all columns of the table that they were read from.
        values: one row a step, in the order of time, one column a channel.
    """

    name: str
    columns: tuple[str, ...]
    table: tuple[str, ...]
    values: Float64[np.ndarray, "steps channels"]

    @property
    def sha256(self) -> str:
        """Identity of names and numbers."""
        shown = repr((self.columns, self.values.shape)).encode()
        return hashlib.sha256(shown + np.ascontiguousarray(self.values).tobytes()).hexdigest()


def read_series(source: str, columns: str | None = None, *, header: bool = True) -> Series:
    """Read a ``.csv``, ``.tsv`` or ``.txt`` table of which each row is a step of time, or ``builtin:NAME``.

    Any newline ends a row. Nothing is filled in: a cell that is empty or no finite number is an error.

    Args:
        source: path or ``builtin:NAME``.
        columns: names or indices of the channels, comma separated; by default all columns whose first cell
            is a number.
        header: whether the first row names the columns.

    Raises:
        DataError: MP110, for what is missing, malformed or not a number, with its row.
        UnknownName: MP104, no built-in of this name. MissingExtra: MP106.

    >>> read_series("builtin:seasons").values.shape
    (8000, 3)
    """
    if source.startswith(BUILTIN_PREFIX):
        name = source.removeprefix(BUILTIN_PREFIX)
        if name not in BUILTINS:
            raise UnknownName.among("built-in series", name, BUILTINS)
        names, values = BUILTINS[name]()
        chosen = _choose(columns, names, [True] * len(names), source)
        return Series(source, tuple(names[at] for at in chosen), names, values[:, chosen])
    file = expand(source)
    if file.suffix.lower() not in _DELIMITERS or not is_there(file):
        raise DataError(
            "there is no table of series at this path",
            got=source[:300],
            fix=f"give a {', '.join(_DELIMITERS)} file, or builtin:seasons",
        )
    rows = iterate_rows(file, {"delimiter": _DELIMITERS[file.suffix.lower()]})
    begin = list(itertools.islice((row for _, row in rows), 1 + header))
    if not begin:
        raise DataError("the table is empty", got=str(file), fix="give rows of numbers")
    names = tuple(cell.strip() for cell in begin[0]) if header else tuple(map(str, range(len(begin[0]))))
    if header and any(_is_number(name) and not name.lstrip("+-").isdecimal() for name in names):
        raise DataError(
            "the first row is no header: it holds numbers",
            got=f"{source}: {', '.join(names)[:60]}",
            fix="--no-header, or name the columns",
        )
    if len(begin) == header:
        raise DataError(
            "the table holds no steps", got=f"{source}: a header alone", fix="give rows of numbers"
        )
    chosen = _choose(columns, names, [_is_number(cell) for cell in begin[-1]], source)
    body = itertools.chain(begin[header:], (row for _, row in rows))
    return Series(
        source, tuple(names[at] for at in chosen), names, _read_steps(source, names, chosen, body, 1 + header)
    )


def _read_steps(
    source: str, names: tuple[str, ...], chosen: list[int], rows: Iterable[list[str]], first: int
) -> Float64[np.ndarray, "steps channels"]:
    """Numbers of the chosen columns, a row at a time: as text they take eight times the memory."""
    values = array("d")
    for number, row in enumerate(rows, first):
        if len(row) != len(names):
            raise DataError(
                "a row of the table is longer or shorter than the first",
                got=f"{source}: {len(row)} cells in row {number}, {len(names)} in row 1",
                fix="give one row a step and one column a channel, separated by commas (tabs in a .tsv)",
            )
        check_rows(source, number)
        for at in chosen:
            if not _is_number(row[at]):
                raise DataError(
                    "a cell of a series is no finite number",
                    got=f"{source}: {row[at][:40]!r} in row {number}, column {names[at][:80]}",
                    fix="fill gaps in, or leave these steps out; or name other columns with --text-column",
                )
            values.append(float(row[at]))
    return np.frombuffer(values, np.float64).reshape(-1, len(chosen))


def _choose(columns: str | None, names: Sequence[str], numeric: Sequence[bool], source: str) -> list[int]:
    """Indices of the channels among the columns."""
    if columns is None:
        chosen = [at for at, is_number in enumerate(numeric) if is_number]
        if not chosen:
            raise DataError(
                "no column of the table begins with a number",
                got=f"{source}: columns {', '.join(names)}"[:_LONGEST],
                fix="name the columns of values with --text-column; is there a header, or none (--no-header)?",
            )
        return chosen
    chosen = []
    for wanted in (part.strip() for part in columns.split(",")):
        if wanted in names:
            chosen.append(names.index(wanted))
        elif wanted.isdecimal() and int(wanted) < len(names):
            chosen.append(int(wanted))
        else:
            raise DataError(
                "the table has no such column",
                got=f"{source}: {wanted or '(nothing)'}"[:_LONGEST],
                fix=f"one or more of {', '.join(names)}"[:_LONGEST],
            )
    return list(dict.fromkeys(chosen))


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell))) and "_" not in cell  # Python's own way to write a thousand
    except ValueError:
        return False


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
