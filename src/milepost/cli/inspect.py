"""``milepost inspect``."""

from __future__ import annotations

from typing import Any

import click

_EPILOG = """\b
Examples:
  milepost inspect bert-base-uncased
  milepost inspect my-model/ --html table.html
  milepost inspect my-model/ --compare before-fine-tuning/
  milepost inspect table.npy --first-row 2 --json

Exit codes: 0 read and measured, whatever was found (milepost doctor is the check for CI); 2 usage or environment;
3 input refused.
"""


@click.command("inspect", epilog=_EPILOG)
@click.argument("model")
@click.option("--revision", help="Branch, tag or commit of a Hub id.")
@click.option("--tensor", metavar="KEY", help="Key of the table, where the family is unknown.")
@click.option("--first-row", type=int, metavar="N", help="Row of position 0, with --tensor or a .npy table.")
@click.option("--chance", is_flag=True, help="Simulate chance levels for exactly this size (some seconds).")
@click.option(
    "--compare", metavar="OTHER", help="Another model to hold the tables against: which rows moved?"
)
@click.option("--allow-pickle", is_flag=True, help="Let torch's weights_only loader read .bin and .pt.")
@click.option(
    "--max-header",
    "max_header_bytes",
    type=int,
    metavar="BYTES",
    help="Longer headers are refused; at most 100000000.  [default: 10000000]",
)
@click.option("--html", metavar="PATH", help="Write a page with all figures.")
@click.option("--png", metavar="PATH", help="Write the similarity map and the norms as a picture.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print no summary.")
def command(
    model: str,
    html: str | None,
    png: str | None,
    as_json: bool,
    quiet: bool,
    max_header_bytes: int | None,
    **options: Any,
) -> None:
    """What have the position tables of MODEL learned, and which rows did nobody train?

    MODEL is a folder, a .safetensors file, a .npy table or a Hub id. Only headers and position tables are read; no
    model is built and torch is not imported.
    """
    from milepost.cli.output import compute_alone, plan_outputs, write

    planned = plan_outputs(html=html, png=png)
    compute_alone()
    from milepost.diagnostics.inspect.inspection import inspect

    if max_header_bytes is not None:
        options["max_header_bytes"] = max_header_bytes
    result = inspect(model, **options)
    files = {}
    if "html" in planned:
        from milepost.reporting import render_inspect_html

        files[planned["html"]] = render_inspect_html(result).encode()
    if "png" in planned:
        from milepost.reporting import render_inspect_png

        files[planned["png"]] = render_inspect_png(result)
    write(files, quiet=quiet)  # all are rendered before the first is written
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        from milepost.reporting import print_inspect

        print_inspect(result)
