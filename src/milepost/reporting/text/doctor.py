"""A ``doctor`` document on a terminal: the limits in one table, then where they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from milepost.reporting.findings import describe_model, doctor_headline
from milepost.reporting.text.console import make_table, plural, say, styled
from milepost.reporting.text.inspect import print_findings
from milepost.reporting.words import clean, count

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_doctor(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``doctor`` document; nothing is said by colour alone, and no text of it can steer the terminal.

    Args:
        result: the document that ``doctor`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR``.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    say(console, doctor_headline(document), "bold")
    say(console, describe_model(document))
    say(console, "")
    console.print(_limits(document["limits"], console.options.ascii_only))
    say(console, "")
    print_findings(console, document["findings"])
    if document["text"]:
        say(console, "")
        _print_text(console, document["text"])
    if changes := document["changes"]:
        say(console, "")
        fields = f"{len(changes)} {plural('field', len(changes))}"
        say(console, f"--fix sets {fields}; --dry-run shows the difference and writes nothing.")


def _limits(limits: Mapping[str, Any], ascii_only: bool) -> Table:
    shown = make_table(ascii_only, "limit", ["value"])
    shown.add_column("where", overflow="fold")
    for name, limit in limits.items():
        where = "; ".join(part for part in (limit["where"], limit["note"]) if part)
        cells = name.replace("_", " "), count(limit["value"]), where
        shown.add_row(*(styled(cell, ascii_only) for cell in cells))
    return shown


def _print_text(console: Console, text: Mapping[str, Any]) -> None:
    ascii_only = console.options.ascii_only
    say(
        console,
        f"{text['file']}: {text['texts']:,} {plural('text', text['texts'])}, {text['tokens']:,} tokens; "
        f"median {text['median']:g}, longest {text['longest']:,}",
    )
    shown = make_table(ascii_only, "limit", ["tokens", "texts cut", "", "tokens cut", ""])
    for name, cut in text["limits"].items():
        cells = (
            count(cut["limit"]),
            count(cut["texts_cut"]),
            f"{100 * cut['share_of_texts_cut']:.1f} %",
            count(cut["tokens_cut"]),
            f"{100 * cut['share_of_tokens_cut']:.1f} %",
        )
        shown.add_row(
            styled(name.replace("_", " "), ascii_only), *(styled(cell, ascii_only) for cell in cells)
        )
    console.print(shown)
