"""An ``inspect`` document on a terminal: a picture of each table, its measures beside chance, its findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from milepost.reporting.figures.pixels import ASCII_SHADES, SHADES, bars, half_blocks, shade
from milepost.reporting.findings import (
    STATUSES,
    FindingDocument,
    beside_chance,
    describe_model,
    inspect_headline,
    list_other_tables,
    measure_words,
    table_line,
    with_status,
)
from milepost.reporting.text.console import make_table, say, styled
from milepost.reporting.words import clean, number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PICTURE_WIDTH = 32
_BAR_WIDTH = 40


def print_inspect(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print an ``inspect`` document; nothing is said by colour alone, and no text of it can steer the terminal.

    The picture of a table is in colour where the terminal has at least 256 of them, else in shades, and in ASCII
    where nothing more can be shown.

    Args:
        result: the document that ``inspect`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR``.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    say(console, inspect_headline(document), "bold")
    say(console, describe_model(document))
    for table in document["tables"]:
        say(console, "")
        say(console, f"{table['key']} ({table['role']}, {table['kind'].replace('_', ' ')})", "bold")
        say(console, table_line(table))
        if table["pictures"]:
            say(console, "")
            _print_picture(console, table)
        say(console, "")
        console.print(_measures(table, console.options.ascii_only))
        say(console, "")
        print_findings(console, table["findings"])
    _print_other_tables(console, document)
    if document["comparison"]:
        _print_comparison(console, document["comparison"])


def _print_picture(console: Console, table: Mapping[str, Any]) -> None:
    ascii_only = console.options.ascii_only
    cosines = table["pictures"]["cosine_map"]["values"]
    coloured = console.color_system in ("256", "truecolor") and not console.no_color and not ascii_only
    picture = (
        half_blocks(cosines) if coloured else [styled(line, False) for line in shade(cosines, ascii_only)]
    )
    beside = [styled(line, ascii_only) for line in _legend(table["pictures"], coloured, ascii_only)]
    if console.width < _PICTURE_WIDTH + 4 + _BAR_WIDTH:
        for line in (*picture, *beside):
            console.print(line, no_wrap=True, overflow="crop")
        return
    for left, right in zip_longest(picture, beside, fillvalue=styled("", ascii_only)):
        line = left.copy()
        line.pad_right(_PICTURE_WIDTH + 4 - len(line))
        console.print(line.append_text(right) if right else left)


def _legend(pictures: Mapping[str, Any], coloured: bool, ascii_only: bool) -> Iterator[str]:
    ramp = ASCII_SHADES if ascii_only else SHADES
    yield "cosine of every pair of rows:"
    yield "red 1, light 0, blue −1" if coloured else f"blank 0 or less, {ramp[1:]} up to 1"
    norms = pictures["norms"]["values"]
    curves = {
        f"norm by position, {number(min(norms))} to {number(max(norms))}": norms,
        "mean cosine by distance": [max(value, 0.0) for value in pictures["cosine_by_distance"]["values"]],
        "share of variance by cycles over the rows": pictures.get("frequencies", {}).get("values", []),
    }
    for title, values in curves.items():
        if values:
            yield from ("", title, bars(values, _BAR_WIDTH, ascii_only))


def _measures(table: Mapping[str, Any], ascii_only: bool) -> Table:
    shown = make_table(ascii_only, "measure", ["value", "chance", "95 % of chance", "value is"])
    for name, metric in table["metrics"].items():
        words = measure_words(name)
        chance, low, high = (number(metric[key], words.digits) for key in ("chance", "low", "high"))
        known = metric["chance"] is not None
        cells = (
            number(metric["value"], words.digits),
            chance if known else "",
            f"{low} to {high}" if known else "",
            beside_chance(metric),
        )
        shown.add_row(styled(words.title, ascii_only), *(styled(cell, ascii_only) for cell in cells))
    return shown


def print_findings(console: Console, findings: list[FindingDocument]) -> None:
    """Print findings: what needs a reader in full, the rest as codes."""
    ascii_only = console.options.ascii_only
    for found in with_status(findings, "issue", "tip", "cannot_tell"):
        status = STATUSES[found["status"]]
        mark = status.ascii if ascii_only else status.mark
        say(
            console,
            f"{mark} {status.word} {found['code']} {found['title']}",
            status.colour,
            indent="  ",
        )
        for word in ("where", "got", "expected", "fix"):
            if found[word]:
                say(console, f"  {word}: {found[word]}", indent="    ")
    for name in ("passed", "not_applicable"):
        status = STATUSES[name]
        if codes := " ".join(found["code"] for found in with_status(findings, name)):
            mark = status.ascii if ascii_only else status.mark
            say(console, f"{mark} {status.word}: {codes}", indent="  ")


def _print_other_tables(console: Console, document: Mapping[str, Any]) -> None:
    title, lines = list_other_tables(document)
    if not lines:
        return
    say(console, "")
    say(console, title)
    for line in lines:  # not wrapped, so that it can be copied
        console.print(styled(f"  {line}", console.options.ascii_only), soft_wrap=True)


def _print_comparison(console: Console, comparison: Mapping[str, Any]) -> None:
    say(console, "")
    say(console, f"Against {comparison['source']}", "bold")
    for pair in comparison["tables"]:
        say(console, f"{pair['key']}: {pair['summary']}", indent="  ")
        for name in ("moved", "shrunk", "same"):
            if pair[name]["count"]:
                say(console, f"  {name}: {pair[name]['where']}", indent="    ")
