"""A worker process: ``python -m milepost.comparison.workers``.

It reads orders from standard input and replies on standard output. Signals and standard output are set up here, before
anything that takes long to import or that prints.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Serve orders until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to handle
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be taken for a reply

    from milepost.comparison.workers.worker import serve

    serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
