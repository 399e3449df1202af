"""What every verb does around its library call: printing the result, and saying what was written."""

from __future__ import annotations

import os
import sys
from typing import Any

import click


def compute_alone() -> None:
    """Let numpy compute on one thread, in a process that has not loaded it yet, unless the user says otherwise.

    Tables are small: a second thread saves nothing, and on a busy machine threads that wait for each other take
    several times as long.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def show(result: dict[str, Any], name: str, *, as_json: bool, quiet: bool) -> None:
    """Print a result: as one JSON document, or as ``reporting.print_NAME`` does."""
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        from milepost import reporting

        getattr(reporting, f"print_{name}")(result)


def say_written(what: str) -> None:
    """Name on stderr what was written."""
    click.echo(f"written: {what}", err=True)
