"""``milepost tune``."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

_EPILOG = """\b
Examples:
  milepost tune my-bert-2048/ my-texts/
  milepost tune my-bert-2048/ my-texts/ --rows all --steps 2000 --device cuda --precision bfloat16
  milepost tune my-bert/ my-texts/ --trained-length 256 --save patch --out tuned/
  milepost tune my-bert-2048/ my-texts/ --dry-run

Exit codes: 0 tuned, and a gain was shown; 1 no gain was shown; 2 usage or environment; 3 input refused.
"""
_SECONDS_BETWEEN_LINES = 10


@click.command("tune", epilog=_EPILOG)
@click.argument("model")
@click.argument("data")
@click.option(
    "--rows", default="new", show_default=True, help="new: past the trained length; all: every position's."
)
@click.option(
    "--trained-length", type=int, metavar="N", help="Positions trained before.  [default: as recorded]"
)
@click.option(
    "--window", type=int, metavar="N", help="Positions of a window.  [default: trained or tuned length]"
)
@click.option(
    "--objective", metavar="WORD", help="masked-lm, causal-lm or embedding.  [default: what MODEL is]"
)
@click.option("--tensor", metavar="KEY", help="Key of the table, where several could be meant.")
@click.option("--device", default="cpu", show_default=True, help="A torch device.")
@click.option("--text-column", metavar="NAME", help="Column of the texts: its name, or its index from 0.")
@click.option("--no-header", is_flag=True, help="The first row of a .csv or .tsv is data.")
@click.option("--steps", default=500, show_default=True, help="Optimiser steps, at most.")
@click.option("--batch", default=4, show_default=True, help="Windows a step.")
@click.option(
    "--lr",
    default=1e-3,
    show_default=True,
    help="Highest learning rate; lowered after each measurement without a gain.",
)
@click.option(
    "--every", default=50, show_default=True, help="Steps between measurements on held-out documents."
)
@click.option(
    "--patience",
    default=3,
    show_default=True,
    help="Measurements without a gain before it stops; twice as many before the first gain.",
)
@click.option("--seed", default=0, show_default=True, help="Of windows, offsets and masks.")
@click.option("--precision", default="float32", show_default=True, help="float32 or bfloat16.")
@click.option(
    "--save", default="model", show_default=True, help="model: a whole folder too; patch: the rows alone."
)
@click.option("--out", metavar="DIR", help="Run folder.  [default: milepost-runs/tune-HASH]")
@click.option("--dry-run", is_flag=True, help="Say what would be trained on what, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def command(model: str, data: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Train the rows of MODEL's position table on DATA, and nothing else, and say what that gained.

    Windows of the old length are laid at random places, so a long table trains in the memory of a short one. The same command
    continues a run that was interrupted.
    """
    from milepost.reporting import print_tune
    from milepost.tuning.training.plan import Aim
    from milepost.tuning.training.training import Recipe
    from milepost.tuning.tune import tune

    options["header"] = not options.pop("no_header")

    def take(kind: Any, *names: str) -> Any:
        return kind(**{name: options.pop(name) for name in names})

    aim = take(
        Aim, "rows", "trained_length", "window", "objective", "tensor", "device", "text_column", "header"
    )
    recipe = take(Recipe, "steps", "batch", "lr", "every", "patience", "seed", "precision")
    with _Progress(quiet=quiet) as progress:
        result = tune(model, data, aim=aim, recipe=recipe, on_progress=progress.update, **options)
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        print_tune(result)
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
