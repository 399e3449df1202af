"""The command ``milepost``, also as ``python -m milepost``."""

import os
import sys


def _leave_current() -> None:
    """Drop what ``python -m`` and empty or relative entries of ``PYTHONPATH`` put on the import path.

    ``leave_current_directory`` does so for good, but what it needs must not come from there either.
    """
    text = os.environ.get("PYTHONPATH", "")
    relative = [entry for entry in text.split(os.pathsep) if not os.path.isabs(entry)] if text else []  # noqa: PTH117, pathlib could come from there
    unsafe = {"", *relative}
    try:
        here = os.getcwd()  # noqa: PTH109
        unsafe.update(os.path.normpath(os.path.join(here, entry)) for entry in relative)  # noqa: PTH118
    except OSError:  # it was deleted
        here = ""
    if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] == here:
        del sys.path[0]
    sys.path[:] = [entry for entry in sys.path if entry not in unsafe]


def run() -> None:
    """Start the command line. Ctrl-C before it is loaded ends it as Ctrl-C does later."""
    try:
        # What Python imported from the current directory before this line cannot be undone: SECURITY.md names the
        # ways to start that are safe. The two modules above are loaded before the path is used.
        _leave_current()
        from milepost.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
