"""Child processes: the one way in which Milepost starts them, and the import path they get.

``python -m`` and ``python -c`` put the current directory first on the import path, so that a ``json.py`` in a
downloaded folder would run. Children get ``-P``, and an environment in which whatever Python they start themselves
(the resource tracker of multiprocessing, the workers of a compiler) stays off the current directory too.
"""

from __future__ import annotations

import contextlib
import os
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import IO

__all__ = [
    "DEVNULL",
    "PIPE",
    "Popen",
    "TimeoutExpired",
    "leave_current_directory",
    "run_python",
    "safe_environment",
    "start_python",
]

_HOME = str(Path(__file__).parents[2])


def start_python(
    words: Sequence[str],
    *,
    variables: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | IO[bytes] | None = None,
    new_session: bool = False,
) -> Popen[bytes]:
    """Start a Python process that does not import from the current directory.

    Args:
        words: what follows ``python``: ``["-m", "milepost.comparison.workers"]``.
        variables: of the environment, in addition to those of this process.
        stdin: of the process, as ``subprocess`` takes it; so are ``stdout`` and ``stderr``.
        new_session: whether signals of this terminal do not reach it.
    """
    return Popen(
        _command(words),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=safe_environment() | dict(variables or {}),
        start_new_session=new_session,
    )


def run_python(
    words: Sequence[str], *, text: str = "", variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python process as :func:`start_python` does, and wait for its end.

    Args:
        words: what follows ``python``.
        text: its standard input.
        variables: of the environment, in addition to those of this process.

    Returns:
        The exit code, and what it wrote.

    >>> run_python(["-c", "import sys; print('' in sys.path)"]).stdout
    'False\\n'
    """
    environment = safe_environment() | dict(variables or {})
    return subprocess.run(
        _command(words), input=text, capture_output=True, text=True, env=environment, check=False
    )


def safe_environment() -> dict[str, str]:
    """The environment of this process, changed so that Python started in it does not import from the current directory.

    Empty and relative entries of ``PYTHONPATH`` are left out: they name the current directory or a part of it. The
    folder that Milepost lies in is added where a new process would not find it by itself.
    """
    kept = (
        [] if sys.flags.ignore_environment else [entry for entry in _entries() if Path(entry).is_absolute()]
    )
    if _HOME not in (*kept, *site.getsitepackages(), site.getusersitepackages()):
        kept.append(_HOME)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if kept:
        environment["PYTHONPATH"] = os.pathsep.join(kept)
    return environment | {"PYTHONSAFEPATH": "1"}


def leave_current_directory() -> None:
    """Take the current directory off the import path of this process and of all Python that it starts.

    For our own command line: a library must not do this to the process of its user.
    """
    relative = [entry for entry in _entries() if not Path(entry).is_absolute()]
    unsafe = {"", *relative}
    with contextlib.suppress(OSError):  # a current directory that was deleted holds nothing to import
        unsafe.update(os.path.normpath(Path.cwd() / entry) for entry in relative)
    sys.path[:] = [entry for entry in sys.path if entry not in unsafe]
    os.environ.update(safe_environment())


def _entries() -> list[str]:
    text = os.environ.get("PYTHONPATH", "")
    return text.split(os.pathsep) if text else []


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", *words]
