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


@click.command("extend", epilog=_EPILOG)
@click.argument("model")
@click.option(
    "--to", required=True, metavar="N", help="Usable positions wanted; for images pixels: 384 or 384x512."
)
@click.option(
    "--method", metavar="SPEC", help="How new rows are made.  [default: hierarchical; images: bicubic]"
)
@click.option(
    "--methods", is_flag=True, is_eager=True, expose_value=False, callback=_list_methods,
    help="List the methods and exit.",
)  # fmt: skip
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
@click.option(
    "--choose",
    metavar="DATA",
    help="Measure methods on these documents, and take the best, if one is better than none.",
)
@click.option(
    "--candidates", metavar="SPECS", help="Methods to measure.  [default: all that need no training]"
)
@click.option("--documents", type=int, metavar="N", help="Documents to measure at most.  [default: 50]")
@click.option(
    "--objective", metavar="WORD", help="masked-lm, causal-lm or embedding.  [default: what the model is for]"
)
@click.option("--text-column", help="Name or index of the column of texts.")
@click.option("--no-header", is_flag=True, help="The first row of the data names no columns.")
@click.option("--seed", type=int, metavar="N", help="Of documents, masks and passages.  [default: 0]")
@click.option(
    "--cache",
    metavar="DIR",
    help="Keep what was measured there: the same command goes on after an interruption.",
)
@click.option("--device", help="A torch device to measure on.  [default: cpu]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(model: str, choose: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Give MODEL another number of positions, in a new folder that stock loaders read, with proof of what stayed.

    MODEL is a folder, a .safetensors file or a Hub id. Tables, buffers, configuration, tokenizer and all other places
    where a length lives change together; the source is only read. With --choose the methods are measured first: a model
    that they do not make better is not written.
    """
    from milepost.cli.output import compute_alone

    measuring = {name: options.pop(name) for name in _MEASURING}
    measuring = {name: value for name, value in measuring.items() if value not in (None, False)}
    if choose is None:
        _refuse_measuring(measuring)
        compute_alone()
        from milepost.api.extend import extend

        result = extend(model, **options)
        _show(result, "extend", as_json=as_json, quiet=quiet)
        if options["method"] is None and result["method"] == "hierarchical" and not quiet:
            click.echo(
                "hierarchical is the default, and no method is best for every model: --choose DATA measures them.",
                err=True,
            )
        return _exit_code(result)
    result = _choose(model, choose, measuring, options, quiet=quiet)
    _show(result, "choose", as_json=as_json, quiet=quiet)
    if result["recommendation"]["method"] is None:
        return 1
    return _exit_code(result["extension"]) if result["extension"] else 0


_MEASURING = ("candidates", "documents", "objective", "text_column", "no_header", "seed", "cache", "device")


def _refuse_measuring(measuring: dict[str, Any]) -> None:
    if measuring:
        from milepost.errors import OptionError

        names = ", ".join(f"--{name.replace('_', '-')}" for name in measuring)
        raise OptionError("nothing is measured without documents", got=names, fix="add --choose DATA")


def _choose(
    model: str, data: str, measuring: dict[str, Any], options: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    """Measure, then extend by the method that is recommended, unless nothing shall be written or nothing is."""
    from milepost.api.choose import choose
    from milepost.errors import OptionError

    if options["method"] is not None:
        raise OptionError(
            "the method is either given or chosen",
            got=f"--method {options['method']} and --choose",
            fix="name methods to choose from: --candidates SPECS",
        )
    from milepost.api.extend import extend
    from milepost.cli.progress import StageProgress

    dry_run = options.pop("dry_run")
    # what stands in the way of the folder is said before the minutes of measuring
    extend(model, **options, dry_run=True)
    measuring["header"] = not measuring.pop("no_header", False)
    shared = {name: options[name] for name in ("to", "revision", "tensor")}
    with StageProgress(quiet=quiet) as progress:
        result = choose(model, data, **shared, **measuring, on_progress=progress.update)
    method = result["recommendation"]["method"]
    if method is not None and not dry_run:
        result["extension"] = extend(model, **options | {"method": method})
    return result


def _show(result: dict[str, Any], name: str, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        from milepost import reporting

        getattr(reporting, f"print_{name}")(result)


def _exit_code(result: dict[str, Any]) -> int:
    return 1 if any(check["status"] == "failed" for check in result["checks"]) else 0
