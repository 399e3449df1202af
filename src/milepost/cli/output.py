"""What verbs that read checkpoints share: one thread to compute with, and writing what was made."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click


def compute_alone() -> None:
    """Let numpy compute on one thread, in a process that has not loaded it yet, unless the user says otherwise.

    Tables are small: a second thread saves nothing, and on a busy machine threads that wait for each other take
    several times as long.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# how each kind of report begins: whatever else is at its path is not replaced
_BEGINS = {"html": b"<!doctype html", "png": b"\x89PNG"}


def plan_outputs(**paths: str | None) -> dict[str, str]:
    """The reports to write, by their kind: ``html`` or ``png``; refused before any work where one cannot be written.

    Raises:
        FolderError: MP107. OptionError: MP105, an unknown home folder.
    """
    from milepost.storage.files import expand, refuse_output

    planned = {}
    for kind, path in paths.items():
        if path:
            place = expand(path)
            refuse_output(place, begins=_BEGINS[kind])
            planned[kind] = str(place)
    return planned


def write(files: Mapping[str, bytes], *, quiet: bool) -> None:
    """Write files whole or not at all, and name each on stderr."""
    from milepost.storage.files import durable

    for path, content in files.items():
        with durable(Path(path)) as beside:
            beside.write_bytes(content)
        if not quiet:
            click.echo(f"written: {path}", err=True)
