"""Reading series: columns of numbers in a table of text, or series that need no file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from milepost.errors import DataError, MissingExtra, UnknownName
from milepost.files import expand
from milepost.tasks.text import BUILTIN_PREFIX

_DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}


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
    rows = _read_rows(expand(source))
    names = tuple(cell.strip() for cell in rows[0]) if header else tuple(map(str, range(len(rows[0]))))
    if header and any(_is_number(name) and not name.lstrip("+-").isdecimal() for name in names):
        raise DataError(
            "the first row is no header: it holds numbers",
            got=f"{source}: {', '.join(names)[:60]}",
            fix="--no-header, or name the columns",
        )
    body, first = (rows[1:], 2) if header else (rows, 1)
    if not body:
        raise DataError(
            "the table holds no steps", got=f"{source}: a header alone", fix="give rows of numbers"
        )
    for at, row in enumerate(body):
        if len(row) != len(names):
            raise DataError(
                "a row of the table is longer or shorter than the first",
                got=f"{source}: {len(row)} cells in row {at + first}, {len(names)} in row 1",
                fix="give one row a step and one column a channel, separated by commas (tabs in a .tsv)",
            )
    chosen = _choose(columns, names, [_is_number(cell) for cell in body[0]], source)
    values = np.stack([_numbers(source, names[at], [row[at] for row in body], first) for at in chosen], 1)
    return Series(source, tuple(names[at] for at in chosen), names, values)


def _read_rows(file: Path) -> list[list[str]]:
    if not file.is_file() or file.suffix.lower() not in _DELIMITERS:
        raise DataError(
            "there is no table of series at this path",
            got=str(file),
            fix=f"give a {', '.join(_DELIMITERS)} file, or builtin:seasons",
        )
    try:
        text = file.read_bytes().decode("utf-8-sig")
        text = text.replace("\r\n", "\n").replace("\r", "\n")  # of old Macs too
        rows = [
            row for row in csv.reader(io.StringIO(text), delimiter=_DELIMITERS[file.suffix.lower()]) if row
        ]
    except UnicodeDecodeError as error:
        raise DataError("a table is not UTF-8 text", got=f"{file}: at byte {error.start}",
                        fix="convert it to UTF-8") from None  # fmt: skip
    except (OSError, csv.Error) as error:
        raise DataError("a table cannot be read", got=f"{file}: {error}", fix="check the file") from None
    if "\0" in text:
        raise DataError("a table is binary", got=f"{file}: a zero byte", fix="give a table of text")
    if not rows:
        raise DataError("the table is empty", got=str(file), fix="give rows of numbers")
    return rows


def _choose(columns: str | None, names: Sequence[str], numeric: Sequence[bool], source: str) -> list[int]:
    """Indices of the channels among the columns."""
    if columns is None:
        chosen = [at for at, is_number in enumerate(numeric) if is_number]
        if not chosen:
            raise DataError(
                "no column of the table begins with a number",
                got=f"{source}: columns {', '.join(names)}",
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
                got=f"{source}: {wanted or '(nothing)'}",
                fix=f"one or more of {', '.join(names)}",
            )
    return list(dict.fromkeys(chosen))


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell))) and "_" not in cell  # Python's own way to write a thousand
    except ValueError:
        return False


def _numbers(source: str, name: str, cells: list[str], first: int) -> Float64[np.ndarray, " steps"]:
    for at, cell in enumerate(cells):
        if not _is_number(cell):
            raise DataError(
                "a cell of a series is no finite number",
                got=f"{source}: {cell[:40]!r} in row {at + first}, column {name}",
                fix="fill gaps in, or leave these steps out; or name other columns with --text-column",
            )
    return np.array(list(map(float, cells)))


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
