"""``milepost tune``."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from milepost.api.tune import tune
from milepost.cli.options import options_of
from milepost.cli.output import show

_EPILOG = """\b
Examples:
  milepost tune my-bert-2048/ my-texts/
  milepost tune my-bert-2048/ my-texts/ --rows all --steps 2000 --device cuda --precision bfloat16
  milepost tune my-bert/ my-texts/ --trained-length 256 --save patch --out tuned/
  milepost tune my-bert-2048/ my-texts/ --dry-run

Exit codes: 0 tuned, and a gain was shown; 1 no gain was shown; 2 usage or environment; 3 input refused.
"""
_SECONDS_BETWEEN_LINES = 10
option = options_of(tune)


@click.command("tune", epilog=_EPILOG)
@click.argument("model")
@click.argument("data")
@option("--rows", help="new: past the trained length; all: every position's.")
@option("--trained-length", type=int, metavar="N", help="Positions trained before.  [default: as recorded]")
@option("--window", type=int, metavar="N", help="Positions of a window.  [default: trained or tuned length]")
@option("--objective", metavar="WORD", help="masked-lm, causal-lm or embedding.  [default: what MODEL is]")
@option("--tensor", metavar="KEY", help="Key of the table, where several could be meant.")
@option("--device", help="A torch device.")
@option("--text-column", metavar="NAME", help="Column of the texts: its name, or its index from 0.")
@option("--header/--no-header", help="Whether the first row of a .csv or .tsv names the columns.")
@option("--steps", help="Optimiser steps, at most.")
@option("--batch", help="Windows a step.")
@option("--lr", help="Highest learning rate; lowered after each measurement without a gain.")
@option("--every", help="Steps between measurements on held-out documents.")
@option(
    "--patience",
    help="Measurements without a gain before it stops; twice as many before the first gain.",
)
@option("--seed", help="Of windows, offsets and masks.")
@option("--precision", help="float32 or bfloat16.")
@option("--save", help="model: a whole folder too; patch: the rows alone.")
@option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Your own code that defines the method of MODEL.",
)
@option("--out", metavar="DIR", help="Run folder.  [default: milepost-runs/tune-HASH]")
@option("--dry-run", is_flag=True, help="Say what would be trained on what, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def command(model: str, data: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Train the rows of MODEL's position table on DATA, and nothing else, and say what that gained.

    Windows of the old length are laid at random places, so a long table trains in the memory of a short one. The same command
    continues a run that was interrupted.
    """
    with _Progress(quiet=quiet) as progress:
        result = tune(model, data, on_progress=progress.update, **options)
    show(result, "tune", as_json=as_json, quiet=quiet)
    return 0 if result.get("helped", True) else 1


class _Progress:
    """A bar a stage on a terminal, a line every few seconds elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: dict[str, Any] = {}
        self._said = 0.0

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty() and not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._said:
            click.echo("what was measured last is kept; the same command continues", err=True)

    def update(self, stage: str, done: int, total: int, loss: float | None) -> None:
        """Take one piece of news."""
        what = stage if loss is None else f"{stage}, held-out loss {loss:.4f}"
        now = time.monotonic()
        if self._bar is not None:
            if stage not in self._task:
                self._task[stage] = self._bar.add_task(what, total=total)
            self._bar.update(self._task[stage], completed=done, description=what)
        elif not self._quiet and (done == total or now - self._said > _SECONDS_BETWEEN_LINES):
            click.echo(f"{what} · {done} of {total}", err=True)
        else:
            return
        self._said = now
