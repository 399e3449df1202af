"""Room on the disk for what is about to be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from milepost.errors import DiskFull


def refuse_small_disk(output: Path, needed: int) -> None:
    """Refuse an output that its disk has no room for.

    Raises:
        DiskFull: MP108.
    """
    place = output.parent.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DiskFull(
            "the disk is too small",
            got=f"{free:,} bytes are free, {needed:,} are needed",
            fix="give another place: --out DIR",
        )
