"""``milepost report``."""

from __future__ import annotations

from pathlib import Path

import click

_EPILOG = """\b
Examples:
  milepost report milepost-runs/demo
  milepost report run-a run-b --html both.html
  milepost report milepost-runs/* --csv numbers/
"""


@click.command("report", epilog=_EPILOG)
@click.argument("runs", nargs=-1, required=True)
@click.option("--html", help="Where the page goes.  [default: report.html in the folder of a single run]")
@click.option("--csv", "tables", help="A folder for the numbers of every figure, one CSV file each.")
@click.option("--log", help="tensorboard:DIR or trackio:PROJECT: curves and metrics of each trial.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@click.option("--quiet", is_flag=True, help="No tables, no word of what was written.")
def command(
    runs: tuple[str, ...], html: str | None, tables: str | None, log: str | None, as_json: bool, quiet: bool
) -> None:
    """Draw finished comparisons again, put several side by side, hold two against each other.

    RUNS are run folders of compare. Nothing is trained.
    """
    from milepost.api.report import report
    from milepost.cli.output import plan_outputs, write
    from milepost.reporting import check_log, print_report, render_report_html, write_csv, write_logs
    from milepost.storage.files import expand

    if log:
        check_log(log)
    page = plan_outputs(html=html).get("html")
    document = report(runs)
    page = page or (str(expand(runs[0]) / "report.html") if len(runs) == 1 else None)
    if page:
        write({page: render_report_html(document).encode()}, quiet=quiet)
    if tables:
        files = write_csv(document["figures"], Path(tables))
        _say(f"written: {len(files)} files in {tables}", quiet=quiet)
    if log:
        count = write_logs({run["name"]: run["result"] for run in document["runs"]}, log)
        _say(f"written: {count} trials to {log}", quiet=quiet)
    if as_json:
        import json

        click.echo(json.dumps(document, indent=1))
    elif not quiet:
        print_report(document)


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)
