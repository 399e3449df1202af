"""Result documents as plain tables for a terminal or a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milepost.reporting.summary import VERDICTS, CompareSummary, count, number, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_NAME_WIDTH = 24
_CELL_WIDTH = 9
_COLOURS = {"better": "green", "worse": "red"}


def print_compare(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``compare`` document: the recommendation, mean losses with their verdicts, what each encoding cost.

    Nothing is said by colour alone, and text from the document cannot move the cursor or style the terminal.

    Args:
        result: the document that ``compare`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR`` and leaves
            colours out off a terminal.
    """
    from rich.console import Console

    found = CompareSummary.from_result(result)
    console = console or Console()
    ascii_only = console.options.ascii_only

    def say(text: str, style: str = "", indent: str = "") -> None:
        lines = textwrap.fill(text, console.width, subsequent_indent=indent, break_on_hyphens=False)
        console.print(_text(lines, ascii_only, style))

    advice = found.document["recommendation"]
    say(advice["sentence"], "bold")
    say("")
    say(_caption(found))
    for lengths in _chunks(found.lengths, max(1, (console.width - _NAME_WIDTH - 2) // _CELL_WIDTH)):
        console.print(_losses(found, lengths, ascii_only))
    for note in _notes(found, ascii_only):
        say(note, "dim")
    say("")
    console.print(_costs(found, ascii_only))
    for title, sentences in (
        ("Because", advice["because"]),
        ("What would change it", advice["would_change"]),
    ):
        if sentences:
            say("")
            say(title)
            for sentence in sentences:
                say(f"- {sentence}", indent="  ")


def _caption(found: CompareSummary) -> str:
    spec = found.spec
    return (
        f"Mean loss in nats per token by length; trained at {spec['train_length']}, "
        f"{len(spec['seeds'])} {_plural('seed', len(spec['seeds']))}, {spec['steps']} steps of {spec['batch']}"
    )


def _losses(found: CompareSummary, lengths: Sequence[int], ascii_only: bool) -> Table:
    spec = found.spec
    heads = [f"{n}*" if n == spec["deciding_length"] else f"{n} " for n in lengths]
    table = _table(ascii_only, "encoding", [f"{head} " for head in heads])
    for name in found.encodings:
        cells = []
        for length in lengths:
            verdict, mark = _mark(found, name, length, ascii_only)
            loss = "" if verdict == "undefined" else number(found.loss(name, length))
            cells.append(_text(f"{loss} {mark}", ascii_only, _COLOURS.get(verdict, "")))
        winner = "bold" if name == found.document["recommendation"]["encoding"] else ""
        table.add_row(_name(name, ascii_only, winner), *cells)
    return table


def _mark(found: CompareSummary, name: str, length: int, ascii_only: bool) -> tuple[str, str]:
    """The verdict of a cell and its mark; the one that the others are held against has neither."""
    if found.undefined(name, length):
        verdict = "undefined"
    elif (comparison := found.comparison(name, length)) is not None:
        verdict = comparison["verdict"]
    else:
        return "", " "
    return verdict, VERDICTS[verdict][1 if ascii_only else 0]


def _notes(found: CompareSummary, ascii_only: bool) -> Iterator[str]:
    cells = ((name, length) for name in found.encodings for length in found.lengths)
    shown = {_mark(found, name, length, ascii_only)[0] for name, length in cells}
    words = [f"{VERDICTS[v][1 if ascii_only else 0]} {VERDICTS[v][2]}" for v in VERDICTS if v in shown]
    stands = {length: found.baseline_at(length) for length in found.lengths}
    others = {
        name: [n for n in found.lengths if stands[n] == name] for name in dict.fromkeys(stands.values())
    }
    against = ", ".join(
        name if len(others) == 1 else f"{name} ({', '.join(map(str, lengths))})"
        for name, lengths in others.items()
    )
    yield "  ".join(words)
    yield f"against {against}; * the length that decides; margin {100 * found.spec['margin']:g} % of the loss"


def _costs(found: CompareSummary, ascii_only: bool) -> Table:
    table = _table(ascii_only, "cost", ["parameters", "for position", "tokens/s", "memory", "done"])
    for name in found.encodings:
        cost = found.cost(name)
        cells = (
            count(cost.parameters),
            count(cost.position_parameters),
            count(cost.tokens_per_second),
            size(cost.peak_memory_bytes),
            f"{cost.done}/{cost.trials}",
        )
        table.add_row(_name(name, ascii_only), *(_text(cell, ascii_only) for cell in cells))
    return table


def _table(ascii_only: bool, first: str, heads: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.ASCII if ascii_only else box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, max_width=_NAME_WIDTH, overflow="fold")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _name(name: str, ascii_only: bool, style: str = "") -> Text:
    """A long spec string goes on after its commas, not in the middle of a word."""
    return _text(name if len(name) <= _NAME_WIDTH else name.replace(",", ",\n  "), ascii_only, style)


def _text(text: str, ascii_only: bool, style: str = "") -> Text:
    from rich.text import Text

    return Text(_ascii(text) if ascii_only else text, style=style)


def _ascii(text: str) -> str:
    """What an ASCII-only terminal can show; the marks we use ourselves have their own equivalents."""
    return text.replace("−", "-").replace("–", "-").encode("ascii", "backslashreplace").decode("ascii")


def _chunks(values: Sequence[int], at_most: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), at_most):
        yield values[start : start + at_most]


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else f"{noun}s"
