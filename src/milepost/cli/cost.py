"""``milepost cost``."""

from __future__ import annotations

from typing import Any

import click

_EPILOG = """\b
Examples:
  milepost cost my-model/
  milepost cost my-model/config.json --lengths 512,2048
  milepost cost my-model/ --encodings "learned(rank=64),rotary,t5(buckets=64)" --max-len 4096 --json

Exit codes: 0 computed; 2 usage or environment; 3 input refused.
"""


@click.command("cost", epilog=_EPILOG)
@click.argument("model")
@click.option("--lengths", metavar="N,N", help="Tokens of a sequence.  [default: the model's positions]")
@click.option("--encodings", metavar="SPECS", help="Encodings to price.  [default: all that fit]")
@click.option("--max-len", type=int, metavar="N", help="Positions that tables get.  [default: the model's]")
@click.option("--revision", help="Branch, tag or commit of a Hub id.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    model: str, lengths: str | None, encodings: str | None, as_json: bool, quiet: bool, **options: Any
) -> None:
    """What does position cost MODEL, and what would the alternatives?

    MODEL is a folder, its config.json or a Hub id. Parameters, memory and operations follow from the configuration
    alone; no weights are read and torch is not imported.
    """
    from milepost.diagnostics.cost import cost

    if encodings is not None:
        options["encodings"] = encodings
    result = cost(model, lengths=_read_lengths(lengths), **options)
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        from milepost.reporting import print_cost

        print_cost(result)


def _read_lengths(text: str | None) -> list[int] | None:
    from milepost.errors import OptionError

    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError("lengths are whole numbers", got=text or "", fix="--lengths 512,2048") from None
