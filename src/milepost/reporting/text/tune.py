"""``tune`` and ``patch`` documents on a terminal: what was trained, and what it gained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from milepost.reporting.text.console import make_table, say, styled
from milepost.reporting.words import clean

if TYPE_CHECKING:
    from rich.console import Console

_METRICS = {
    "loss": "loss, nats a token",
    "agreement": "agreement of whole and parts",
    "distance": "distance of hidden states",
}
_VERDICTS = {
    "better": ("✓ better", "green"),
    "worse": ("✗ worse", "red"),
    "undecided": ("not shown", ""),
    "too_few_documents": ("too few", ""),
}


def print_tune(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a ``tune`` document; nothing is said by colour alone, and no text of it can steer the terminal.

    Args:
        result: the document that ``tune`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR``.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    design, counts = document["design"], document["documents"]
    say(console, tune_headline(document), "bold")
    say(
        console,
        f"{document['source']} -> {document['output']} · {design['objective']} on {document['data']} · rows of positions "
        f"{_range(design['first_position'], design['length'])} · windows of {design['window']:,}",
    )
    say(
        console,
        f"documents: {counts['train']:,} to train on, {counts['stop']:,} to stop by, {counts['report']:,} to report on",
    )
    if not document["written"]:
        return
    training = document["training"]
    say(
        console,
        f"{training['steps']:,} steps ({'stopped early' if training['ended'] == 'early' else 'all of them'}), best after "
        f"{training['best_step']:,}",
    )
    say(console, "")
    _print_gains(document["gains"], console)
    say(
        console,
        "n documents; differences are paired over them, with 95 % intervals; verdicts below the first line are corrected for their number.",
    )
    for sentence in tune_advice(document):
        say(console, sentence)
    for name in document["saved"]:
        say(console, f"written: {document['output']}/{name}")


def tune_advice(document: Mapping[str, Any]) -> Iterator[str]:
    """What to change where tuning did not help."""
    design, training = document["design"], document["training"]
    lr, batch = design["lr"], design["batch"]
    if not training["best_step"]:
        last = lr / 4 ** max(0, len(training["history"]) - 2)
        yield (
            f"No learning rate was better than no training: {lr:g} was tried first, then a quarter each time, down to {last:.2g}. Change, in "
            f"this order: more windows per step, for less noise (--batch {4 * batch}); a rate below {last:.2g} (--lr); more texts; another "
            "start (milepost extend --choose DATA measures methods)."
        )
    if training["best_step"] and not document["helped"]:
        yield (
            "Windows gained, and whole documents are not shown to. More documents narrow the intervals; "
            f"longer windows (--window, now {design['window']:,}) are closer to whole documents."
        )


def tune_headline(document: Mapping[str, Any]) -> str:
    """The first sentence of a ``tune`` result.

    >>> tune_headline({"written": False})
    'Would train the position table; nothing was written'
    """
    if not document["written"]:
        return "Would train the position table; nothing was written"
    gain = document["gains"][0]
    what = f"{_METRICS[gain['metric']].split(',')[0]} at positions {_range(*gain['positions'])}"
    change = f"{gain['before']:.4f} to {gain['after']:.4f}"
    if not document["training"]["best_step"]:
        return f"Tuning did not help: no step was better than the beginning; nothing was saved ({what}: {gain['before']:.4f})"
    if gain["verdict"] == "worse":
        return f"Tuning did harm: {what} went from {change}"
    return f"Tuning {'helped' if document['helped'] else 'is not shown to help'}: {what} went from {change}"


def _print_gains(gains: list[Mapping[str, Any]], console: Console) -> None:
    """One table a metric, narrow enough for 80 columns."""
    ascii_only = console.options.ascii_only
    for metric, group in itertools.groupby(gains, lambda gain: gain["metric"]):
        say(console, _METRICS[metric])
        table = make_table(ascii_only, "positions", ("n", "before", "after", "change", "95 %", "change is"))
        for gain in group:
            word, colour = _VERDICTS[gain["verdict"]]
            cells = (
                _range(*gain["positions"]),
                str(gain["documents"]),
                f"{gain['before']:.4f}",
                f"{gain['after']:.4f}",
                f"{gain['difference']:+.4f}",
                "–" if gain["low"] is None else f"{gain['low']:+.4f} to {gain['high']:+.4f}",
            )
            table.add_row(*(styled(cell, ascii_only) for cell in cells), styled(word, ascii_only, colour))
        console.print(table)
        say(console, "")


def print_patch(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the document of ``patch``."""
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    begin, old, new = (document[name] for name in ("first_position", "from_length", "to_length"))
    more = "" if old == new else f"; extended from {old:,} positions"
    say(console, f"Put the rows of positions {_range(begin, new)} on the table{more}", "bold")
    say(console, f"{document['source']} -> {document['output']}")
    for check in document["checks"]:
        say(console, f"{check['status']} {check['name'].replace('_', ' ')}: {check['detail']}", indent="  ")


def _range(begin: int, end: int) -> str:
    return f"{begin:,}–{end - 1:,}"
