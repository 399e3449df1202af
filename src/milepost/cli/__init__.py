"""The command line: one light file per verb, one place that turns errors into text and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from milepost import __version__
from milepost.errors import MilepostError, OptionError, printable
from milepost.processes import leave_current_directory

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
    if arguments is None:
        leave_current_directory()
    try:
        code = cli.main(arguments, prog_name="milepost", standalone_mode=False)
    except MilepostError as error:
        _exit_with(error)
    except click.UsageError as error:
        verb = error.ctx.command_path if error.ctx else "milepost"
        _exit_with(
            OptionError("this command cannot be read", got=error.format_message(), fix=f"see {verb} --help")
        )
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of a pipe (head, less) left: not an error; keep the interpreter from flushing again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _exit_with(error: MilepostError) -> NoReturn:
    click.echo(printable(str(error)), err=True)
    sys.exit(error.exit_code)
