"""``milepost inspect``."""

from __future__ import annotations

from typing import Any

import click

from milepost.api.inspect import inspect
from milepost.cli.options import options_of
from milepost.cli.output import compute_alone, say_written, show

_EPILOG = """\b
Examples:
  milepost inspect bert-base-uncased
  milepost inspect my-model/ --html table.html
  milepost inspect my-model/ --compare before-fine-tuning/
  milepost inspect table.npy --first-row 2 --json

Exit codes: 0 read and measured, whatever was found (milepost doctor is the check for CI); 2 usage or environment;
3 input refused.
"""
option = options_of(inspect)


@click.command("inspect", epilog=_EPILOG)
@click.argument("model")
@option("--revision", help="Branch, tag or commit of a Hub id.")
@option("--tensor", metavar="KEY", help="Key of the table, where the family is unknown.")
@option("--first-row", type=int, metavar="N", help="Row of position 0, with --tensor or a .npy table.")
@option("--chance", is_flag=True, help="Simulate chance levels for exactly this size (some seconds).")
@option("--compare", metavar="OTHER", help="Another model to hold the tables against: which rows moved?")
@option("--allow-pickle", is_flag=True, help="Let torch's weights_only loader read .bin and .pt.")
@option("--max-header-bytes", metavar="BYTES", help="Longer headers are refused; at most 100000000.")
@option("--html", metavar="PATH", help="Write a page with all figures.")
@option("--png", metavar="PATH", help="Write the similarity map and the norms as a picture.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print no summary.")
def command(model: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """What have the position tables of MODEL learned, and which rows did nobody train?

    MODEL is a folder, a .safetensors file, a .npy table or a Hub id. Only headers and position tables are read; no
    model is built and torch is not imported.
    """
    compute_alone()
    result = inspect(model, on_written=None if quiet else say_written, **options)
    show(result, "inspect", as_json=as_json, quiet=quiet)
