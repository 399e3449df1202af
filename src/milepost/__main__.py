"""``python -m milepost``."""

import os
import sys


def _is_current(entry: str) -> bool:
    try:
        return entry in ("", os.getcwd())  # noqa: PTH109, pathlib could come from there
    except OSError:  # it was deleted
        return False


# Python put the current directory first. What it imported from there before this line, nobody can undo: SECURITY.md
# names the ways to start that are safe. The two modules above are loaded before the path is used.
if not sys.flags.safe_path and _is_current(sys.path[0]):
    del sys.path[0]

from milepost.cli import main  # noqa: E402, the path had to be changed first

main()
