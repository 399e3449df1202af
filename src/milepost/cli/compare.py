"""``milepost compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from milepost.api.compare import PRESETS, compare
from milepost.api.outputs import plan_outputs, write_outputs
from milepost.cli.options import options_of
from milepost.cli.output import show
from milepost.cli.progress import TrialProgress
from milepost.cli.spread import leading, under_torchrun

_TOKENIZER = (
    "char, byte, a tokenizer.json, a model folder, a SentencePiece model, train:bpe:8000.  "
    "[default: char, or that of --model]"
)
_TASK = (
    "What the models are asked to do: causal-lm, masked-lm, classify, tag, forecast, images, "
    "copy, reverse, addition, parity, sorting, needle."
)
_PRESET = "Sizes to start from; explicit options override them."
_EPILOG = """\b
Examples:
  milepost compare
  milepost compare sms.tsv --task classify --no-header --label-column 0 --text-column 1
  milepost compare ETTh1.csv --task forecast --encodings learned,rotary,none
  milepost compare my-texts/ --encodings learned,rotary,alibi --train-length 128 --lengths 128,256,512
  milepost compare --encodings "learned,learned(past=clamp),rotary(theta=500)" --seeds 5
"""
_QUICK = PRESETS["quick"]
option = options_of(compare)


@click.command("compare", epilog=_EPILOG)
@click.argument("data", required=False)
@option("--task", help=_TASK)
@option(
    "--encodings",
    help="Encodings to compare.",
)
@option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Your own code that defines encodings or tasks; several times for several.",
)
@option("--baseline", help="The encoding the others are held against.  [default: learned]")
@option(
    "--train-length",
    type=int,
    help="Length of a training input: tokens, symbols, patches of a series, pixels of a side.  [default: the task's]",
)
@option("--lengths", help="Lengths to measure, in the same unit.  [default: the task's]")
@option("--seeds", help=f"How many seeds, or which: 0,1,5.  [default: {_QUICK['seeds']}]")
@option("--steps", type=int, help=f"Optimiser steps of a trial.  [default: {_QUICK['steps']}]")
@option("--batch", type=int, help=f"Sequences a step.  [default: {_QUICK['batch']}]")
@option("--lr", help="Highest learning rate.")
@option("--layers", type=int, help=f"Blocks of the model.  [default: {_QUICK['layers']}]")
@option("--dim", type=int, help=f"Width of the model.  [default: {_QUICK['dim']}]")
@option("--heads", type=int, help=f"Attention heads.  [default: {_QUICK['heads']}]")
@option("--init-std", show_default=False, help="Std of the initial weights.  [default: sqrt(2 / (5 dim))]")
@option("--model", help="Folder of a model of your own: its architecture, from scratch.")
@option("--weights", is_flag=True, help="With --model: begin from its weights.")
@option("--tokenizer", help=_TOKENIZER)
@option("--validation", help="Data to choose learning rates on.  [default: cut from DATA]")
@option("--test", help="Data to measure on.  [default: cut from DATA]")
@option("--text-column", help="Name or index of the column of texts, tokens or values.")
@option("--label-column", help="Name or index of the column of labels.")
@option("--header/--no-header", help="Whether the first row names the columns.")
@option(
    "--encoding",
    help="Text encoding of the files: utf-8, cp1252, utf-16, gb18030, ...",
)
@option(
    "--layout",
    type=click.Choice(["auto", "columns", "rows"]),
    help="Where a table of series has them: one per column, or one per row.",
)
@option(
    "--fill",
    type=click.Choice(["none", "previous", "linear"]),
    help="Fill missing values of series; none refuses them.",
)
@option("--evaluate", help="blocks or sliding.")
@option("--patch", show_default=False, help="Pixels of a patch's side, or steps in one position.")
@option("--horizon", show_default=False, help="Steps to forecast.")
@option("--preset", type=click.Choice(list(PRESETS)), help=_PRESET)
@option("--match", type=click.Choice(["parameters"]), help="Widen smaller models to as many parameters.")
@option("--tune-lr", is_flag=False, flag_value="auto", help="Learning rates to choose from, or auto.")
@option("--tune-scale", is_flag=False, flag_value="auto", help="Factors on the initial scale, or auto.")
@option("--metric", help="The metric that decides, one of the task's.  [default: the task's first]")
@option("--need-length", type=int, help="The length that decides.  [default: the trained one]")
@option("--max-parameters", type=int, help="Most parameters that an encoding may add.")
@option("--until", help="decided: add seeds until every verdict is.")
@option("--max-seeds", help="Most seeds of --until.")
@option(
    "--margin",
    help="Difference that does not matter: 0.01 of an accuracy, or 1 % of a loss.",
)
@option("--workers", type=int, help="Processes at once, one thread each.  [default: processors]")
@option("--device", help="A torch device.")
@option("--dtype", help="Of products in training: or bf16.")
@option("--compile", is_flag=True, help="Compile the model for training.")
@option("--batch-seeds", help="Seeds trained at once, as one batch of models.")
@option("--processes-per-trial", help="Processes that share each batch.")
@option("--distributed", help="How they do: ddp or fsdp2.")
@option("--ray", is_flag=False, flag_value="", help="Run on a Ray cluster: its address, or this machine.")
@option("--gpus-per-trial", show_default=False, help="GPUs that Ray reserves for a trial, or a share of one.")
@option("--out", help="Run folder.  [default: milepost-runs/TASK-HASH]")
@option("--dry-run", is_flag=True, help="List the trials; train nothing.")
@option("--restart", is_flag=True, help="Train all trials of the run folder again.")
@option("--retry-failed", is_flag=True, help="Run trials again that failed or diverged.")
@option("--keep-models", is_flag=True, help="Keep each trial's model as a folder for inspect.")
@click.option("--live", is_flag=True, help="Show each trial as it runs, on a terminal.")
@click.option("--log", help="tensorboard:DIR or trackio:PROJECT: curves and metrics of each trial.")
@click.option("--html", help="Where the page goes.  [default: report.html in the run folder]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def command(
    html: str | None, log: str | None, live: bool, as_json: bool, quiet: bool, dry_run: bool, **options: Any
) -> int:
    """Which position encoding suits this data? Train matched models and compare.

    DATA is a file, a folder of files, or builtin:NAME; without it the task brings its own. Trials that are
    finished are never run again: the same command continues a run that was interrupted.
    """
    with leading() as first:
        if not first:
            return 0
        if log:
            from milepost.reporting import check_log

            check_log(log)
        page = plan_outputs(html=html).get("html")
        # nothing runs in a dry run, so there is no progress to tell of
        with TrialProgress(quiet=quiet or dry_run, live=live) as progress:
            result = compare(
                dry_run=dry_run,
                on_plan=progress.plan,
                on_progress=progress.update,
                **options | under_torchrun(),
            )
        if dry_run:
            show(result, "plan", as_json=as_json, quiet=False)
            return 0
        show(result, "compare", as_json=as_json, quiet=quiet)
        _write_page(result, page, progress.folder, quiet=quiet)
        if log:
            from milepost.reporting import write_logs

            write_logs({"": result}, log)
        return 1 if any(trial["status"] != "done" for trial in result["trials"]) else 0


def _write_page(result: dict[str, Any], html: Path | None, folder: Path, *, quiet: bool) -> None:
    """Write the page where it was asked for, else next to the result, unless it is there already."""
    from milepost.comparison.run_folder.views import place_of
    from milepost.errors import MissingExtra
    from milepost.reporting import render_compare_html

    place = place_of(result, folder)
    if place != folder and not quiet:
        click.echo(
            f"{folder} holds more than this call shows: its result.json and report.html stay", err=True
        )
    page = html or place / "report.html"
    try:
        if html or not _up_to_date(page, place / "result.json"):
            write_outputs({page: render_compare_html(result).encode()}, None)
    except MissingExtra as error:
        if html:
            raise
        click.echo(f"no page: {error.problem}; {error.fix}", err=True)
    else:
        if not quiet:
            click.echo(f"report: {page}", err=True)


def _up_to_date(page: Path, result: Path) -> bool:
    # the result is rewritten only when it changed
    return page.exists() and page.stat().st_mtime_ns >= result.stat().st_mtime_ns
