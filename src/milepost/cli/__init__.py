"""The command line: one light file per verb, one place that turns errors into text and exit codes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

import click

from milepost import __version__
from milepost.errors import DiskFull, FolderError, MilepostError, OptionError, printable
from milepost.storage.processes import leave_current_directory

# verb -> module with a `command`; the modules import nothing heavier than click
VERBS = {
    "compare": "milepost.cli.compare",
    "report": "milepost.cli.report",
    "inspect": "milepost.cli.inspect",
    "doctor": "milepost.cli.doctor",
    "cost": "milepost.cli.cost",
    "extend": "milepost.cli.extend",
    "tune": "milepost.cli.tune",
    "patch": "milepost.cli.patch",
}


class _Verbs(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[name]).command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from milepost.errors import UnknownName

            raise UnknownName.among("verb", args[0], VERBS)
        return super().resolve_command(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            Path.cwd()
        except OSError as error:
            raise FolderError(
                "the current directory was deleted", got=error.strerror or "", fix="change to one that exists"
            ) from None
        with _before_click():
            return super().invoke(context)

    def make_context(self, *words: Any, **extra: Any) -> click.Context:
        with _before_click():
            return super().make_context(*words, **extra)


class _Refused(Exception):
    """The system refused something."""

    def __init__(self, error: OSError) -> None:
        self.error = error


@contextlib.contextmanager
def _before_click() -> Iterator[None]:
    """Keep from click what it would answer itself: a broken pipe with exit code 1, Ctrl-C with an empty line."""
    try:
        yield
    except MilepostError:
        raise
    except OSError as error:
        raise _Refused(error) from error
    except KeyboardInterrupt:
        raise click.Abort from None


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", prog_name="milepost")
def cli() -> None:
    """What a Transformer knows about position: compare, inspect, extend and use position encodings.

    DATA and MODEL are local; nothing is downloaded unless a Hub id is given.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 ok, 1 fell short, 2 usage, 3 input refused, 130 interrupted.

    Args:
        arguments: those of this process without them; it is then a program of its own, and stops importing from the
            current directory.
    """
    interrupts: list[int] = []
    if arguments is None:
        leave_current_directory()
        _notice_interrupts(interrupts)
    try:
        code = cli.main(arguments, prog_name="milepost", standalone_mode=False)
        if sys.stdout is not None:  # it was closed before we began
            sys.stdout.flush()  # what is wrong with it shows here, not when Python ends
    except BaseException as error:
        # a library that is interrupted while it is imported may turn that into an error of its own
        _exit_because(KeyboardInterrupt() if interrupts else error)
    sys.exit(code if isinstance(code, int) else 0)


def _notice_interrupts(interrupts: list[int]) -> None:
    def notice(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell has it ignored
        signal.signal(signal.SIGINT, notice)


def _exit_because(error: BaseException) -> NoReturn:
    """Turn an error into text and an exit code; one that is nobody's input is raised again."""
    if isinstance(error, _Refused):
        error = error.error
    if isinstance(error, MilepostError):
        _exit_with(error)
    if isinstance(error, click.UsageError):
        verb = error.ctx.command_path if error.ctx else "milepost"
        _exit_with(
            OptionError("this command cannot be read", got=error.format_message(), fix=f"see {verb} --help")
        )
    if isinstance(error, click.Abort | KeyboardInterrupt):
        _say("\ninterrupted" if sys.stderr is not None and sys.stderr.isatty() else "interrupted")
        sys.exit(130)
    if isinstance(error, OSError):
        _exit_after(error)
    raise error


def _exit_after(error: OSError) -> NoReturn:
    """End after what the system refused; a reader of our output that left (head, less) is no error."""
    if isinstance(error, BrokenPipeError):
        _forget(sys.stdout)
        sys.exit(0)
    kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else FolderError
    name = "" if error.filename is None else f": {os.fsdecode(error.filename)}"
    _forget(sys.stdout)
    _exit_with(
        kind(
            "the system refused to read or write",
            got=f"{error.strerror or type(error).__name__}{name}",
            fix="check the file, its folder and the disk, then run the same command again",
        )
    )


def _forget(stream: TextIO) -> None:
    """Keep Python from flushing to a stream again when it ends: what is left would fail once more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _say(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:  # standard error is full, or its reader left: the exit code is all that can be said
        _forget(sys.stderr)


def _exit_with(error: MilepostError) -> NoReturn:
    _say(printable(str(error)))
    sys.exit(error.exit_code)
