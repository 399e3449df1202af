"""``milepost extend``."""

from __future__ import annotations

from typing import Any

import click

_EPILOG = """\b
Examples:
  milepost extend my-bert/ --to 2048
  milepost extend my-bert/ --to 2048 --method tile --out my-bert-2048
  milepost extend my-bert/ --to 2048 --dry-run
  milepost extend my-vit/ --to 384x512
  milepost extend my-gpt2/ --to 256 --method crop --verify model

Methods: hierarchical(alpha=0.4), tile, linear, cubic, keep(first=20), right, reflect, mean, sinusoid-fit, zeros, normal,
crop; for images bicubic. docs/extension.md says what each keeps.

Exit codes: 0 written and proved; 1 a proof failed; 2 usage or environment; 3 input refused, nothing written.
"""


@click.command("extend", epilog=_EPILOG)
@click.argument("model")
@click.option(
    "--to", required=True, metavar="N", help="Usable positions wanted; for images pixels: 384 or 384x512."
)
@click.option(
    "--method", metavar="SPEC", help="How new rows are made.  [default: hierarchical; images: bicubic]"
)
@click.option("--out", metavar="DIR", help="Folder to be made.  [default: NAME-N in the current one]")
@click.option(
    "--verify", default="files", show_default=True, metavar="WORD",
    help="none; files: compare all that was kept by hash; model: let transformers load and run it too.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print what would change, and write nothing.")
@click.option("--revision", help="Branch, tag or commit of a Hub id.")
@click.option("--tensor", metavar="KEY", help="Key of the table, where several could be meant.")
@click.option(
    "--first-row", type=int, metavar="N", help="Row of position 0, where the family does not say it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(model: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Give MODEL another number of positions, in a new folder that stock loaders read, with proof of what stayed.

    MODEL is a folder, a .safetensors file or a Hub id. Tables, buffers, configuration, tokenizer and all other places
    where a length lives change together; the source is only read.
    """
    from milepost.cli.output import compute_alone

    compute_alone()
    from milepost.tuning.extension import extend

    result = extend(model, **options)
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        from milepost.reporting import print_extend

        print_extend(result)
    return 1 if any(check["status"] == "failed" for check in result["checks"]) else 0
