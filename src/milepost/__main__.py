"""The command ``milepost``, also as ``python -m milepost``."""

import os
import sys


def _is_current(entry: str) -> bool:
    try:
        return entry in ("", os.getcwd())  # noqa: PTH109, pathlib could come from there
    except OSError:  # it was deleted
        return False


def run() -> None:
    """Start the command line. Ctrl-C before it is loaded ends it as Ctrl-C does later."""
    try:
        from milepost.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


# Python put the current directory first. What it imported from there before this line, nobody can undo: SECURITY.md
# names the ways to start that are safe. The two modules above are loaded before the path is used.
if __name__ == "__main__" and not sys.flags.safe_path and _is_current(sys.path[0]):
    del sys.path[0]

if __name__ == "__main__":
    run()
