"""A ``choose`` document on a terminal: what is recommended, what each method gave, and where in a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from milepost.reporting.text.console import make_table, say, styled, to_ascii
from milepost.reporting.text.extend import print_extend
from milepost.reporting.words import clean, number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_MARKS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "better": ("✓", "+", "green", "better"),
    "worse": ("✗", "x", "red", "worse"),
    "undecided": ("?", "?", "", "no difference shown"),
    "same": ("=", "=", "", "the same numbers"),
}
_HEADS: Final = {"passages": "anywhere", "end_first": "1st", "agreement": "agree"}
_WITHOUT: Final = {"truncate": "(cut)", "windows": "(windows)", "parts": "(mean of parts)"}


def print_choose(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``choose`` document; nothing is said by colour alone, and no text of it can steer the terminal.

    Args:
        result: the document that ``choose`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR``.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    ascii_only = console.options.ascii_only
    advice = document["recommendation"]
    say(console, advice["sentence"], "bold")
    for sentence in advice["because"]:
        say(console, f"- {sentence}", indent="  ")
    say(console, "")
    say(console, _caption(document))
    console.print(_metrics(document, ascii_only))
    for note in _notes(document, ascii_only):
        say(console, note, "dim")
    say(console, "")
    say(console, f"{'Loss' if _is_loss(document) else 'Reciprocal rank'} by place in the document, in tokens")
    console.print(_by_position(document, ascii_only))
    for row in document["candidates"]:
        if row["status"] != "done":
            say(console, f"{row['method']} was not measured: {row['reason']}", indent="  ")
    if document["extension"]:
        say(console, "")
        print_extend(document["extension"], console)


def _is_loss(document: Mapping[str, Any]) -> bool:
    return bool(document["objective"] != "embedding")


def _caption(document: Mapping[str, Any]) -> str:
    data = document["data"]
    unit = "Loss in nats per token" if _is_loss(document) else "Mean reciprocal rank of passages"
    return (
        f"{unit}, {document['from_length']:,} to {document['to_length']:,} positions, nothing trained; "
        f"{len(data['measured'])} of {data['longer']} documents that are longer than the model reads, of {data['documents']}"
    )


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for facts in document["references"]:
        yield _WITHOUT.get(facts["name"], facts["name"]), facts
    for facts in document["candidates"]:
        if facts["status"] == "done":
            yield facts["method"], facts


def _metrics(document: Mapping[str, Any], ascii_only: bool) -> Table:
    heads = [
        f"{_HEADS.get(one['name'], one['name'])}{'*' if one['decides'] else ' '} "
        for one in document["metrics"]
    ]
    table = make_table(ascii_only, "method", heads)
    names = [one["name"] for one in document["metrics"]]
    baseline = document["baseline"]
    means = [sum(baseline["values"][name]) / len(baseline["values"][name]) for name in names]
    table.add_row(
        styled(_WITHOUT.get(baseline["name"], baseline["name"]), ascii_only),
        *(styled(f"{number(value)}  ", ascii_only) for value in means),
    )
    for title, facts in _rows(document):
        cells = []
        for name in names:
            found = facts["metrics"][name]
            mark = _MARKS[found["verdict"]]
            cells.append(styled(f"{number(found['value'])} {mark[ascii_only]}", ascii_only, mark[2]))
        style = "bold" if title == document["recommendation"]["method"] else ""
        table.add_row(styled(title, ascii_only, style), *cells)
    return table


def _notes(document: Mapping[str, Any], ascii_only: bool) -> Iterator[str]:
    shown = {one["verdict"] for _, facts in _rows(document) for one in facts["metrics"].values()}
    marks = "  ".join(f"{_MARKS[v][ascii_only]} {_MARKS[v][3]}" for v in _MARKS if v in shown)
    without = _WITHOUT.get(document["baseline"]["name"], document["baseline"]["name"])
    yield f"{marks}; against {without} by paired 95 % intervals over documents, corrected by Holm; * decides"
    for one in document["metrics"]:
        yield f"{_HEADS.get(one['name'], one['name'])}: {one['title']}, {one['better']} is better"


def _by_position(document: Mapping[str, Any], ascii_only: bool) -> Table:
    """Every row against the same stretches; the first one is the model as it is."""
    rows = list(_rows(document))
    stretches = rows[0][1]["by_position"] if rows else []
    heads = [f"{one['begin']:,}–{one['end']:,}" for one in stretches]
    table = make_table(ascii_only, "method", [to_ascii(head) if ascii_only else head for head in heads])
    without = _WITHOUT.get(document["baseline"]["name"], document["baseline"]["name"])
    table.add_row(without, *(styled(number(one["baseline"]), ascii_only) for one in stretches))
    for title, facts in rows:
        cells = (styled(number(one["value"]), ascii_only) for one in facts["by_position"])
        table.add_row(styled(title, ascii_only), *cells)
    return table
