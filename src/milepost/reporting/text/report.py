"""A ``report`` document as plain tables for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from milepost.reporting.compare_summary import VERDICTS, CompareSummary, name_mean
from milepost.reporting.html.report import describe_runs
from milepost.reporting.runs import merge
from milepost.reporting.text.compare import print_compare
from milepost.reporting.text.console import NAME_WIDTH, make_table, say, styled
from milepost.reporting.words import capitalised, clean, number, p_value, signed

if TYPE_CHECKING:
    from rich.console import Console

_CELL_WIDTH = 9


def print_report(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``report`` document: the comparison of one run, the means of several side by side.

    Args:
        document: what ``report`` returns. Left untouched.
        console: where to print; by default standard output.
    """
    from rich.console import Console

    console = console or Console()
    if len(document["runs"]) == 1:
        print_compare(document["runs"][0]["result"], console)
        return
    results = {run["name"]: run["result"] for run in document["runs"]}
    say(console, describe_runs(document), "bold")
    for name, result in results.items():
        say(console, f"- {clean(name)}: {clean(result['recommendation']['sentence'])}", indent="  ")
    for table in document["tables"]:
        _print_means(merge([{"name": name, "result": results[name]} for name in table["runs"]]), console)
    if document["pair"]:
        _print_pair(clean(document["pair"]), console)


def _print_means(together: CompareSummary, console: Console) -> None:
    spec, metric, ascii_only = together.spec, together.metric, console.options.ascii_only
    unit = f" in {metric['unit']}" if metric["unit"] else ""
    best = "higher" if metric["higher_is_better"] else "lower"
    say(console, "")
    say(console, f"{spec['task']} on {spec['data']['source']}")
    say(
        console,
        f"{capitalised(name_mean(metric))}{unit} by length, {best} is better; – where there is no result",
    )
    at_once = max(1, (console.width - NAME_WIDTH - 2) // _CELL_WIDTH)
    for start in range(0, len(together.lengths), at_once):
        lengths = together.lengths[start : start + at_once]
        table = make_table(ascii_only, "run: encoding", [str(length) for length in lengths])
        for name in together.encodings:
            values = (number(together.value(name, length)) for length in lengths)
            table.add_row(styled(name, ascii_only), *(styled(value, ascii_only) for value in values))
        console.print(table)


def _print_pair(pair: Mapping[str, Any], console: Console) -> None:
    ascii_only = console.options.ascii_only
    say(console, "")
    for line in _describe_pair(pair):
        say(console, line)
    if not pair["comparable"]:
        return
    heads = ["length", "seeds", "difference", "low", "high", "p", "verdict"]
    table = make_table(ascii_only, "encoding", heads)
    for c in pair["comparisons"]:
        mark, word = VERDICTS[c["verdict"]][1 if ascii_only else 0], VERDICTS[c["verdict"]][2]
        cells = (
            str(c["length"]),
            str(c["n_seeds"]),
            *(signed(c[name]) for name in ("difference", "low_adjusted", "high_adjusted")),
            p_value(c["p_adjusted"]),
            f"{mark} {word}",
        )
        table.add_row(styled(c["encoding"], ascii_only), *(styled(cell, ascii_only) for cell in cells))
    console.print(table)


def _describe_pair(pair: Mapping[str, Any]) -> Iterator[str]:
    for row in pair["differences"]:
        yield f"{row['name']}: {row['first']} in {pair['first']}, {row['second']} in {pair['second']}"
    for row in pair["environment"]:
        yield f"environment, {row['name']}: {row['first']} and {row['second']}"
    if pair["comparable"]:
        yield f"{pair['second']} minus {pair['first']}, paired by seed; intervals and p are adjusted for the encodings at a length"
