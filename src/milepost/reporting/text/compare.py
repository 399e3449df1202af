"""A ``compare`` document as plain tables for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milepost.reporting.compare_summary import VERDICTS, CompareSummary, name_mean
from milepost.reporting.text.console import NAME_WIDTH, make_table, plural, say, styled
from milepost.reporting.words import capitalised, count, number, signed_count, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_CELL_WIDTH = 9
_COLOURS = {"better": "green", "constant_better": "green", "worse": "red", "constant_worse": "red"}
_FLOOR = "(floor)"


def print_compare(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``compare`` document: the recommendation, means with their verdicts, what each encoding cost.

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

    advice = found.document["recommendation"]
    say(console, advice["sentence"], "bold")
    say(console, "")
    say(console, _caption(found))
    for lengths in _chunks(found.lengths, max(1, (console.width - NAME_WIDTH - 2) // _CELL_WIDTH)):
        console.print(_means(found, lengths, ascii_only))
    for note in _notes(found, ascii_only):
        say(console, note, "dim")
    say(console, "")
    if len(found.metrics) > 1:
        console.print(_metrics(found, ascii_only))
        say(console, "")
    console.print(_costs(found, ascii_only))
    for title, sentences in (
        ("Because", advice["because"]),
        ("What would change it", advice["would_change"]),
        ("Verdicts that depend on the settings", found.flips()),
        ("About the data", found.document.get("notes") or ()),
    ):
        if sentences:
            say(console, "")
            say(console, title)
            for sentence in sentences:
                say(console, f"- {sentence}", indent="  ")


def _caption(found: CompareSummary) -> str:
    spec, metric = found.spec, found.metric
    seeds = f"{len(spec['seeds'])} {plural('seed', len(spec['seeds']))}"
    if spec.get("looks"):
        seeds += f" of at most {spec['looks'][-1]}"
    unit = f" in {metric['unit']}" if metric["unit"] else ""
    best = ", higher is better" if metric["higher_is_better"] else ""
    return (
        f"{capitalised(name_mean(metric))}{unit} by length{best}; trained at {spec['train_length']}, "
        f"{seeds}, {spec['steps']} steps of {spec['batch']}"
    )


def _means(found: CompareSummary, lengths: Sequence[int], ascii_only: bool) -> Table:
    spec = found.spec
    heads = [f"{n}*" if n == spec["deciding_length"] else f"{n} " for n in lengths]
    table = make_table(ascii_only, "encoding", [f"{head} " for head in heads])
    for name in found.encodings:
        cells = []
        for length in lengths:
            verdict, mark = _mark(found, name, length, ascii_only)
            value = "" if verdict == "undefined" else number(found.value(name, length))
            cells.append(styled(f"{value} {mark}", ascii_only, _COLOURS.get(verdict, "")))
        winner = "bold" if name == found.document["recommendation"]["encoding"] else ""
        table.add_row(_name(name, ascii_only, winner), *cells)
    floors = [found.floor(length) for length in lengths]
    if any(floor is not None for floor in floors):
        cells = [styled(f"{number(floor)}  ", ascii_only, "dim") for floor in floors]
        table.add_row(styled(_FLOOR, ascii_only, "dim"), *cells)
    return table


def _mark(found: CompareSummary, name: str, length: int, ascii_only: bool) -> tuple[str, str]:
    """The verdict of a cell and its mark; the one that the others are compared with has neither."""
    verdict = found.verdict(name, length)
    return (verdict, VERDICTS[verdict][1 if ascii_only else 0]) if verdict else ("", " ")


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
    yield f"compared with {against}; * the length that decides; margin {found.margin}"
    if any(found.floor(length) is not None for length in found.lengths):
        yield f"{_FLOOR}: the best answer that ignores the input"
    if settings := found.settings():
        yield f"settings chosen on the {found.document['tuning']['part']} part: {'; '.join(settings)}"


def _metrics(found: CompareSummary, ascii_only: bool) -> Table:
    """The task's further metrics at the length that decides."""
    length, others = found.spec["deciding_length"], found.metrics[1:]
    table = make_table(ascii_only, f"at length {length}", [metric["title"] for metric in others])
    for name in found.encodings:
        values = (number(found.value(name, length, metric["name"])) for metric in others)
        table.add_row(_name(name, ascii_only), *(styled(value, ascii_only) for value in values))
    return table


def _costs(found: CompareSummary, ascii_only: bool) -> Table:
    table = make_table(ascii_only, "cost", ["parameters", "more", "position", "tokens/s", "memory", "done"])
    for name in found.encodings:
        cost = found.cost(name)
        cells = (
            count(cost.parameters),
            signed_count(found.more_parameters(name)),
            count(cost.position_parameters),
            count(cost.tokens_per_second),
            size(cost.peak_memory_bytes),
            f"{cost.done}/{cost.trials}",
        )
        table.add_row(_name(name, ascii_only), *(styled(cell, ascii_only) for cell in cells))
    return table


def _name(name: str, ascii_only: bool, style: str = "") -> Text:
    """A long spec string goes on after its commas, not in the middle of a word."""
    return styled(name if len(name) <= NAME_WIDTH else name.replace(",", ",\n  "), ascii_only, style)


def _chunks(values: Sequence[int], at_most: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), at_most):
        yield values[start : start + at_most]
