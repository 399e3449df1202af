"""``milepost patch``."""

from __future__ import annotations

from typing import Any

import click

from milepost.api.patch import patch
from milepost.cli.options import options_of
from milepost.cli.output import show

_EPILOG = """\b
Examples:
  milepost patch my-bert/ tuned/patch.safetensors --out my-bert-2048

Exit codes: 0 written and proved; 1 a proof failed; 2 usage or environment; 3 input refused, nothing written.
"""
option = options_of(patch)


@click.command("patch", epilog=_EPILOG)
@click.argument("model")
@click.argument("patch")
@option("--out", metavar="DIR", help="Folder to be made.  [default: NAME-LENGTH in the current one]")
@option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Your own code that defines the method of extension.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Put the rows that `milepost tune` trained on MODEL: the one that was tuned, or the one that it was extended from.

    The patch says which model it is for, by the hashes of its rows and weights; any other is refused.
    """
    show(patch(**options), "patch", as_json=as_json, quiet=quiet)
