"""``milepost extend``."""

from __future__ import annotations

from typing import Any

import click

from milepost.api.extend import extend
from milepost.cli.options import options_of
from milepost.cli.output import compute_alone, show
from milepost.cli.progress import StageProgress

_EPILOG = """\b
Examples:
  milepost extend my-bert/ --to 2048
  milepost extend my-bert/ --to 2048 --method tile --out my-bert-2048
  milepost extend my-bert/ --to 2048 --dry-run
  milepost extend my-vit/ --to 384x512
  milepost extend my-gpt2/ --to 256 --method crop --verify model
  milepost extend my-bert/ --to 2048 --choose my-texts/ --dry-run

milepost extend --methods lists the methods, what each of them keeps, and which ones --choose measures.

Exit codes: 0 written and proved; 1 a proof failed, or no method is better than none; 2 usage or environment; 3 input refused, nothing written.
"""


def _list_methods(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Print what the registry holds; ``--help`` does not, for methods need numpy."""
    if not wanted or context.resilient_parsing:
        return
    from milepost.extension.methods import build_method, registered_methods

    for name, cls in registered_methods().items():
        click.echo(f"{build_method(name).full_spec}: {cls.guarantee}")
        if cls.not_a_candidate:
            click.echo(f"    --choose does not measure it: {cls.not_a_candidate}")
    context.exit()


option = options_of(extend)


@click.command("extend", epilog=_EPILOG)
@click.argument("model")
@option("--to", metavar="N", help="Usable positions wanted; for images pixels: 384 or 384x512.")
@option("--method", metavar="SPEC", help="How new rows are made.  [default: hierarchical; images: bicubic]")
@click.option(
    "--methods", is_flag=True, is_eager=True, expose_value=False, callback=_list_methods,
    help="List the methods and exit.",
)  # fmt: skip
@option(
    "--import", "imports", multiple=True, metavar="FILE.py|MODULE", help="Your own code that defines methods."
)
@option("--out", metavar="DIR", help="Folder to be made.  [default: NAME-N in the current one]")
@option(
    "--verify", metavar="WORD",
    help="none; files: compare all that was kept by hash; model: let transformers load and run it too.",
)  # fmt: skip
@option("--dry-run", is_flag=True, help="Print what would change, and write nothing.")
@option("--revision", help="Branch, tag or commit of a Hub id.")
@option("--tensor", metavar="KEY", help="Key of the table, where several could be meant.")
@option("--first-row", type=int, metavar="N", help="Row of position 0, where the family does not say it.")
@option(
    "--choose", metavar="DATA",
    help="Measure methods on these documents, and take the best, if one is better than none.",
)  # fmt: skip
@option("--candidates", metavar="SPECS", help="Methods to measure.  [default: all that need no training]")
@option("--documents", metavar="N", help="Documents to measure at most.")
@option(
    "--objective", metavar="WORD", help="masked-lm, causal-lm or embedding.  [default: what the model is for]"
)
@option("--text-column", help="Name or index of the column of texts.")
@option("--header/--no-header", help="Whether the first row of the data names the columns.")
@option("--seed", metavar="N", help="Of documents, masks and passages.")
@option(
    "--cache", metavar="DIR",
    help="Keep what was measured there: the same command goes on after an interruption.",
)  # fmt: skip
@option("--device", help="A torch device to measure on.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(model: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Give MODEL another number of positions, in a new folder that stock loaders read, with proof of what stayed.

    MODEL is a folder, a .safetensors file or a Hub id. Tables, buffers, configuration, tokenizer and all other places
    where a length lives change together; the source is only read. With --choose the methods are measured first: a model
    that they do not make better is not written.
    """
    if options["choose"] is None:
        compute_alone()
    with StageProgress(quiet=quiet) as progress:
        result = extend(model, on_progress=progress.update, **options)
    chosen = "recommendation" in result
    show(result, "choose" if chosen else "extend", as_json=as_json, quiet=quiet)
    if not (chosen or quiet) and options["method"] is None and result["method"] == "hierarchical":
        click.echo(
            "hierarchical is the default, and no method is best for every model: --choose DATA measures them.",
            err=True,
        )
    if chosen and result["recommendation"]["method"] is None:
        return 1
    written = result["extension"] if chosen else result
    return 1 if written and any(check["status"] == "failed" for check in written["checks"]) else 0
