"""A ``cost`` document on a terminal: what is there in words, then one row an encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from milepost.reporting.text.console import make_table, say, styled
from milepost.reporting.words import clean, count, size

if TYPE_CHECKING:
    from rich.console import Console

_UNITS = ("", "k", "M", "G", "T", "P", "E")


def print_cost(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``cost`` document; no text of it can steer the terminal.

    Args:
        result: the document that ``cost`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR``.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    for line in _headlines(document):
        say(console, line)
    for length in document["lengths"]:
        say(console, "")
        attention = document["yardsticks"]["attention_operations"][str(length)] / length
        say(
            console,
            f"{length:,} tokens; the two products of attention: {short(attention)} operations a token",
        )
        _print_length(console, document, str(length))
    say(console, "")
    say(console, "memory: weights, gradients and Adam's moments in training, float32")
    say(console, "held: what the encoding derives for one sequence, float32")


def _headlines(document: Mapping[str, Any]) -> list[str]:
    sizes, present = document["sizes"], document["present"]
    part = f", {document['part']}" if document["part"] else ""
    keys = "" if sizes["kv_heads"] == sizes["heads"] else f" ({sizes['kv_heads']} of keys)"
    head = f"{document['source']} ({document['model_type']}{part}): {sizes['layers']} layers, width {sizes['dim']:,}"
    lines = [f"{head}, {sizes['heads']} heads{keys} of {sizes['head_dim']}"]
    for table in present["tables"]:
        reserved = f", the first {table['first_row']} reserved" if table["first_row"] else ""
        shape = f"{table['rows']:,} × {table['dim']:,}{reserved}"
        lines.append(f"{table['role']} table ({table['kind']}): {shape}, {table['parameters']:,} numbers")
    order = present["positions_by"].replace("_", " ")
    held = "not known" if present["parameters"] is None else f"{present['parameters']:,}"
    tokens = document["yardsticks"]["token_table_parameters"]
    beside = f"; the token table: {tokens:,}" if tokens else ""
    return [*lines, f"positions by: {order}; parameters: {held}{beside}"]


def _print_length(console: Console, document: Mapping[str, Any], length: str) -> None:
    ascii_only = console.options.ascii_only
    shown = make_table(ascii_only, "encoding", ["parameters", "memory", "operations/token", "held"])
    for row in document["encodings"]:
        cells = (
            f"{row['encoding']}{' (present)' if row['present'] else ''}",
            count(row["parameters"]),
            size(row["training_bytes"]["float32"]),
            short(row["operations_per_token"][length]),
            size(row["working_bytes"][length]),
        )
        shown.add_row(*(styled(cell, ascii_only) for cell in cells))
    console.print(shown)


def short(value: float | None) -> str:
    """A number in three figures; a dash where there is none.

    >>> short(25165824), short(999.7), short(12), short(None)
    ('25.2 M', '1 k', '12', '–')
    """
    if value is None:
        return "–"
    power = 0
    while float(f"{value:.3g}") >= 1000 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{float(f'{value:.3g}'):g} {_UNITS[power]}".rstrip()
