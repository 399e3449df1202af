"""``milepost cost``."""

from __future__ import annotations

from typing import Any

import click

from milepost.api.cost import cost
from milepost.cli.options import options_of
from milepost.cli.output import show

_EPILOG = """\b
Examples:
  milepost cost my-model/
  milepost cost my-model/config.json --lengths 512,2048
  milepost cost my-model/ --encodings "learned(rank=64),rotary,t5(buckets=64)" --max-len 4096 --json

Exit codes: 0 computed; 2 usage or environment; 3 input refused.
"""
option = options_of(cost)


@click.command("cost", epilog=_EPILOG)
@click.argument("model")
@option("--lengths", metavar="N,N", help="Tokens of a sequence.  [default: the model's positions]")
@option("--encodings", metavar="SPECS", help="Encodings to price.  [default: all that fit]")
@option("--max-len", type=int, metavar="N", help="Positions that tables get.  [default: the model's]")
@option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Your own code that defines encodings.",
)
@option("--revision", help="Branch, tag or commit of a Hub id.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(model: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """What does position cost MODEL, and what would the alternatives?

    MODEL is a folder, its config.json or a Hub id. Parameters, memory and operations follow from the configuration
    alone; no weights are read and torch is not imported.
    """
    show(cost(model, **options), "cost", as_json=as_json, quiet=quiet)
