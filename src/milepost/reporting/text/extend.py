"""An ``extend`` document on a terminal: what changes, what is left behind, what was proved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from milepost.reporting.findings import STATUSES
from milepost.reporting.text.console import say
from milepost.reporting.words import clean

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST = 60
_TITLES = {
    "new_tables": "new tables",
    "old_rows": "old rows",
    "kept_tensors": "kept tensors",
    "copied_files": "copied files",
    "doctor": "doctor",
    "reload": "loaded by transformers",
    "old_outputs": "outputs up to the old length",
    "forward": "forward pass at the new length",
}


def print_extend(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print an ``extend`` document; nothing is said by colour alone, and no text of it can steer the terminal.

    Args:
        result: the document that ``extend`` returns. Left untouched.
        console: where to print; by default standard output, where rich heeds ``NO_COLOR``.
    """
    from rich.console import Console

    document = clean(result)
    console = console or Console()
    say(console, extend_headline(document), "bold")
    say(console, f"{document['source']} -> {document['output']} · method {document['method']}")
    say(console, f"old rows: {document['guarantee']}")
    say(console, "")
    for change in document["changes"]:
        say(console, describe_change(change), indent="  ")
    if document["checks"]:
        say(console, "")
    for check in document["checks"]:
        status = STATUSES[check["status"] if check["status"] != "failed" else "issue"]
        mark = status.ascii if console.options.ascii_only else status.mark
        word = check["status"].replace("_", " ")
        title = _TITLES.get(check["name"], check["name"])
        say(console, f"{mark} {word} {title}: {check['detail']}", status.colour, indent="  ")


def extend_headline(document: Mapping[str, Any]) -> str:
    """The first sentence of an ``extend`` result.

    >>> extend_headline({"written": False, "from_length": 512, "to_length": 2048, "unit": "positions"})
    'Would extend 512 to 2,048 positions; nothing was written'
    """
    old, new = (_size(document[name]) for name in ("from_length", "to_length"))
    if document["written"]:
        return f"Extended {old} to {new} {document['unit']}"
    return f"Would extend {old} to {new} {document['unit']}; nothing was written"


def describe_change(change: Mapping[str, Any]) -> str:
    """One change on one line.

    >>> describe_change({"kind": "field", "file": "config.json", "name": "n_ctx", "old": 4, "new": 8})
    'config.json: n_ctx: 4 -> 8'
    """
    file, name, old, new = (change[key] for key in ("file", "name", "old", "new"))
    if change["kind"] == "not_copied":
        return f"not copied: {file} ({new})"
    if change["kind"] == "card":
        return f"{file}: the model card says what was done"
    if change["kind"] in ("table", "buffer"):
        return f"{file}: {change['kind']} {name}: {_shape(old)} -> {_shape(new)}"
    return f"{file}: {name}: {_short(old)} -> {_short(new)}"


def _size(size: Any) -> str:
    return " × ".join(map(str, size)) if isinstance(size, list) else f"{size:,}"


def _shape(shape: Any) -> str:
    return " × ".join(f"{axis:,}" for axis in shape)


def _short(value: Any) -> str:
    text = "none" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
