"""``milepost report``."""

from __future__ import annotations

from typing import Any

import click

from milepost.api.report import report
from milepost.cli.options import options_of
from milepost.cli.output import say_written, show

_EPILOG = """\b
Examples:
  milepost report milepost-runs/demo
  milepost report run-a run-b --html both.html
  milepost report milepost-runs/* --csv numbers/
"""
option = options_of(report)


@click.command("report", epilog=_EPILOG)
@click.argument("runs", nargs=-1, required=True)
@option("--html", help="Where the page goes.  [default: report.html in the folder of a single run]")
@option("--csv", help="A folder for the numbers of every figure, one CSV file each.")
@option("--log", help="tensorboard:DIR or trackio:PROJECT: curves and metrics of each trial.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@click.option("--quiet", is_flag=True, help="No tables, no word of what was written.")
def command(runs: tuple[str, ...], html: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Draw finished comparisons again, put several side by side, hold two against each other.

    RUNS are run folders of compare. Nothing is trained.
    """
    if len(runs) == 1:
        html = html or f"{runs[0].rstrip('/')}/report.html"
    result = report(runs, html=html, on_written=None if quiet else say_written, **options)
    show(result, "report", as_json=as_json, quiet=quiet)
