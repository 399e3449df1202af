"""Run folders of the same comparison with an earlier version of the user's own code."""

from __future__ import annotations

from pathlib import Path

from milepost.comparison.design import Design
from milepost.errors import FolderError
from milepost.storage.records import read_json


def note_changes(design: Design, folder: Path) -> list[str]:
    """Say, in a sentence, that code of ``imports`` changed, so that all trials are trained again.

    Args:
        design: of this call.
        folder: its run folder. Where that exists, there is nothing to say.

    Returns:
        One sentence where a folder next to it holds a design that differs in the hash of such code alone.
    """
    if not design.imports or folder.exists():
        return []
    wanted = design.identity()
    rest, ours = wanted | {"imports": {}}, wanted["imports"]
    for place in sorted(folder.parent.glob("*/design.json")):
        try:
            held = read_json(place)
        except FolderError:
            continue
        theirs = held.get("imports")
        if held | {"imports": {}} == rest and isinstance(theirs, dict) and theirs.keys() == ours.keys():
            changed = ", ".join(name for name in ours if ours[name] != theirs[name])
            return [f"{changed} changed since the trials in {place.parent}: all trials are trained again"]
    return []
