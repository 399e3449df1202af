"""Where the result of a call stands in a run folder: on top, or among views where it shows less than what is there."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from milepost.errors import FolderError
from milepost.storage.records import key_of, read_json, write_json

RESULT, PAGE, VIEWS = "result.json", "report.html", "views"


def place_of(result: dict[str, Any], folder: Path) -> Path:
    """The folder of a result: the run folder, or one in its ``views``.

    A result that lacks encodings, seeds, lengths or settings of the one that stands in the run folder is a view.
    """
    held = _read(folder / RESULT)
    if held is None or _covers(result, held):
        return folder
    return folder / VIEWS / key_of(result["spec"])


def write_result(result: dict[str, Any], folder: Path) -> None:
    """Write a result to its place, unless it stands there already: what was drawn from it is then up to date.

    Raises:
        FolderError: MP107. DiskFull: MP108.
    """
    path = place_of(result, folder) / RESULT
    if _read(path) != result:
        write_json(path, result)


def _read(path: Path) -> dict[str, Any] | None:
    """A result, or None where there is none or it was damaged: it is made again from the trials."""
    with contextlib.suppress(FolderError):
        return read_json(path)
    return None


def _covers(result: dict[str, Any], held: dict[str, Any]) -> bool:
    """Whether a result shows all encodings, seeds, lengths and settings of another one."""
    try:
        pairs = [(result["spec"][name], held["spec"][name]) for name in ("encodings", "seeds", "lengths")]
        if held["tuning"]:
            tuned = result["tuning"] or {}
            pairs += [(tuned.get(name, ()), held["tuning"][name]) for name in ("lrs", "scales")]
        return all(set(shown) >= set(wanted) for shown, wanted in pairs)
    except (KeyError, TypeError):
        return True  # what was held is no result
