"""Files that a verb writes in addition to its result: pages and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from milepost.storage.files import durable, expand, refuse_output

OnWritten = Callable[[str], None]
# how each kind of report begins: whatever else is at its path is not replaced
_BEGINS = {"html": b"<!doctype html", "png": b"\x89PNG"}


def plan_outputs(**paths: str | Path | None) -> dict[str, Path]:
    """The reports to write, by their kind: ``html`` or ``png``; refused before any work where one cannot be written.

    Raises:
        FolderError: MP107. OptionError: MP105, an unknown home folder.
    """
    planned = {}
    for kind, path in paths.items():
        if path:
            planned[kind] = expand(path)
            refuse_output(planned[kind], begins=_BEGINS[kind])
    return planned


def write_outputs(files: Mapping[Path, bytes], on_written: OnWritten | None) -> None:
    """Write files whole or not at all, and say so."""
    for path, content in files.items():
        with durable(path) as beside:
            beside.write_bytes(content)
        if on_written is not None:
            on_written(str(path))
