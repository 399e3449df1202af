"""What ``compare --dry-run`` prints: the trials to come, and what they are estimated to take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from milepost.reporting.text.console import make_table, plural, say, styled
from milepost.reporting.words import clean, size

if TYPE_CHECKING:
    from rich.console import Console


def print_plan(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the trials of a planned ``compare`` document, and its estimate.

    Args:
        result: the document that ``compare(dry_run=True)`` returns. Left untouched.
        console: where to print; by default standard output.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    ascii_only = console.options.ascii_only
    tuning = document["tuning"]
    trials = tuning["trials"] if tuning else document["trials"]
    missing = [trial for trial in trials if trial["status"] == "missing"]
    found = document["estimate"]
    done = len(trials) - len(missing)
    say(console, f"{len(trials)} {plural('trial', len(trials))}, {done} of them done", "bold")
    table = make_table(ascii_only, "encoding", ["trials", "missing", "time each", "memory each"])
    wanted, to_do = (Counter(trial["encoding"] for trial in part) for part in (trials, missing))
    for name, count in wanted.items():
        one = found["by_encoding"].get(name)
        cells = (
            str(count),
            str(to_do[name]),
            duration(one["seconds"]) if one else "–",
            size(one["peak_memory_bytes"]) if one else "–",
        )
        table.add_row(styled(name, ascii_only), *(styled(cell, ascii_only) for cell in cells))
    console.print(table)
    if missing:
        say(
            console,
            f"About {duration(found['seconds'])} of training and {size(found['peak_memory_bytes'])} of memory at "
            "once, by a few steps of each encoding just now; measuring comes on top. Nothing was written.",
        )
    for note in document.get("notes") or ():
        say(console, f"Note: {note}")
    if looks := document["spec"].get("looks"):
        say(
            console,
            f"Seeds are then added until every verdict is decided, up to {looks[-1]}; they are not counted here.",
        )


def duration(seconds: float) -> str:
    """A time as a reader would say it.

    >>> duration(4.2), duration(200), duration(9000)
    ('4 s', '3 min 20 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
