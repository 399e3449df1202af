"""``milepost compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_TOKENIZER = (
    "char, byte, a tokenizer.json, a model folder, a SentencePiece model, train:bpe:8000.  "
    "[default: char, or that of --model]"
)
_TASK = (
    "What the models are asked to do: causal-lm, masked-lm, classify, tag, forecast, images, "
    "copy, reverse, addition, parity, sorting, needle."
)
_PRESETS: dict[str, dict[str, int]] = {
    "quick": {"layers": 2, "dim": 64, "heads": 8, "steps": 600, "batch": 32, "seeds": 3},
    "standard": {"layers": 4, "dim": 128, "heads": 8, "steps": 2_000, "batch": 32, "seeds": 5},
    "thorough": {"layers": 6, "dim": 256, "heads": 8, "steps": 10_000, "batch": 64, "seeds": 10},
}
_PRESET = "Sizes to begin from; options beside it win.  [default: quick]"
_DATA_OPTIONS = (
    "tokenizer", "validation", "test", "text_column", "label_column", "header", "encoding", "evaluate", "patch",
    "horizon", "layout", "fill",
)  # fmt: skip
_TRAINING_OPTIONS = ("steps", "batch", "lr", "dtype", "compile")
_EPILOG = """\b
Examples:
  milepost compare
  milepost compare sms.tsv --task classify --no-header --label-column 0 --text-column 1
  milepost compare ETTh1.csv --task forecast --encodings learned,rotary,none
  milepost compare my-texts/ --encodings learned,rotary,alibi --train-length 128 --lengths 128,256,512
  milepost compare --encodings "learned,learned(past=clamp),rotary(theta=500)" --seeds 5
"""


@click.command("compare", epilog=_EPILOG)
@click.argument("data", required=False)
@click.option("--task", default="causal-lm", show_default=True, help=_TASK)
@click.option(
    "--encodings",
    default="learned,sinusoidal,rotary,alibi,t5,none",
    show_default=True,
    help="Encodings to compare.",
)
@click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Your own code that defines encodings or tasks; several times for several.",
)
@click.option("--baseline", help="The encoding the others are held against.  [default: learned]")
@click.option(
    "--train-length",
    type=int,
    help="Length of a training input: tokens, symbols, patches of a series, pixels of a side.  [default: the task's]",
)
@click.option("--lengths", help="Lengths to measure, in the same unit.  [default: the task's]")
@click.option("--seeds", help="How many seeds, or which: 0,1,5.  [default: 3]")
@click.option("--steps", type=int, help="Optimiser steps of a trial.  [default: 600]")
@click.option("--batch", type=int, help="Sequences a step.  [default: 32]")
@click.option("--lr", default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--layers", type=int, help="Blocks of the model.  [default: 2]")
@click.option("--dim", type=int, help="Width of the model.  [default: 64]")
@click.option("--heads", type=int, help="Attention heads.  [default: 8]")
@click.option("--init-std", default=0.0, help="Std of the initial weights.  [default: sqrt(2 / (5 dim))]")
@click.option("--model", "own", help="Folder of a model of your own: its architecture, from scratch.")
@click.option("--weights", is_flag=True, help="With --model: begin from its weights.")
@click.option("--tokenizer", help=_TOKENIZER)
@click.option("--validation", help="Data to choose learning rates on.  [default: cut from DATA]")
@click.option("--test", help="Data to measure on.  [default: cut from DATA]")
@click.option("--text-column", help="Name or index of the column of texts, tokens or values.")
@click.option("--label-column", help="Name or index of the column of labels.")
@click.option("--header/--no-header", default=True, help="Whether the first row names the columns.")
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    help="Text encoding of the files: utf-8, cp1252, utf-16, gb18030, ...",
)
@click.option(
    "--layout",
    type=click.Choice(["auto", "columns", "rows"]),
    default="auto",
    show_default=True,
    help="Where a table of series has them: one per column, or one per row.",
)
@click.option(
    "--fill",
    type=click.Choice(["none", "previous", "linear"]),
    default="none",
    show_default=True,
    help="Fill missing values of series; none refuses them.",
)
@click.option("--evaluate", default="blocks", show_default=True, help="blocks or sliding.")
@click.option("--patch", default=0, help="Pixels of a patch's side, or steps in one position.")
@click.option("--horizon", default=0, help="Steps to forecast.")
@click.option("--preset", type=click.Choice(["quick", "standard", "thorough"]), help=_PRESET)
@click.option(
    "--match", type=click.Choice(["parameters"]), help="Widen smaller models to as many parameters."
)
@click.option("--tune-lr", is_flag=False, flag_value="auto", help="Learning rates to choose from, or auto.")
@click.option("--tune-scale", is_flag=False, flag_value="auto", help="Factors on the initial scale, or auto.")
@click.option("--metric", help="The metric that decides, one of the task's.  [default: the task's first]")
@click.option("--need-length", type=int, help="The length that decides.  [default: the trained one]")
@click.option("--max-parameters", type=int, help="Most parameters that an encoding may add.")
@click.option("--until", help="decided: add seeds until every verdict is.")
@click.option("--max-seeds", default=20, show_default=True, help="Most seeds of --until.")
@click.option(
    "--margin",
    default=0.01,
    show_default=True,
    help="Difference that does not matter: 0.01 of an accuracy, or 1 % of a loss.",
)
@click.option("--workers", type=int, help="Processes at once, one thread each.  [default: processors]")
@click.option("--device", default="cpu", show_default=True, help="A torch device.")
@click.option("--dtype", default="float32", show_default=True, help="Of products in training: or bf16.")
@click.option("--compile", is_flag=True, help="Compile the model for training.")
@click.option(
    "--batch-seeds", default=1, show_default=True, help="Seeds trained at once, as one batch of models."
)
@click.option("--processes-per-trial", default=1, show_default=True, help="Processes that share each batch.")
@click.option("--distributed", default="ddp", show_default=True, help="How they do: ddp or fsdp2.")
@click.option(
    "--ray", is_flag=False, flag_value="", help="Run on a Ray cluster: its address, or this machine."
)
@click.option("--gpus-per-trial", default=0.0, help="GPUs that Ray reserves for a trial, or a share of one.")
@click.option("--out", help="Run folder.  [default: milepost-runs/TASK-HASH]")
@click.option("--dry-run", is_flag=True, help="List the trials; train nothing.")
@click.option("--restart", is_flag=True, help="Train all trials of the run folder anew.")
@click.option("--retry-failed", is_flag=True, help="Run trials again that failed or diverged.")
@click.option("--keep-models", is_flag=True, help="Keep each trial's model as a folder for inspect.")
@click.option("--live", is_flag=True, help="Show each trial as it runs, on a terminal.")
@click.option("--log", help="tensorboard:DIR or trackio:PROJECT: curves and metrics of each trial.")
@click.option("--html", help="Where the page goes.  [default: report.html in the run folder]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def command(
    data: str | None,
    html: str | None,
    log: str | None,
    live: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Which position encoding suits this data? Train matched models and compare.

    DATA is a file, a folder of files, or builtin:NAME; without it the task brings its own. Trials that are
    finished are never run again: the same command continues a run that was interrupted.
    """
    from milepost.cli.spread import leading, read_scale

    options["scale"] = read_scale(options)
    with leading() as first:
        if not first:
            return 0
        return _compare(data, html=html, log=log, live=live, as_json=as_json, quiet=quiet, **options)


def _compare(
    data: str | None,
    *,
    html: str | None,
    log: str | None,
    live: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    from milepost.api.compare import compare
    from milepost.api.outputs import plan_outputs
    from milepost.cli.progress import TrialProgress
    from milepost.comparison import Model, Training
    from milepost.comparison.options import choose_tokenizer
    from milepost.plugins import load_imports
    from milepost.storage.files import expand
    from milepost.tasks import Options, find_task

    if log:
        from milepost.reporting import check_log

        check_log(log)
    page = plan_outputs(html=html).get("html")
    load_imports(options["imports"])
    own, weights = options.pop("own") or "", options.pop("weights")
    if own.startswith("~"):
        own = str(expand(own))
    options["tokenizer"] = options["tokenizer"] or choose_tokenizer(
        own, reads_text=find_task(options["task"]).reads_text
    )
    if own:
        _refuse_sizes(options)
    preset = _PRESETS[options.pop("preset") or "quick"]
    options |= {name: value for name, value in preset.items() if options[name] is None}
    # nothing runs in a dry run, so there is no progress to tell of
    with TrialProgress(quiet=quiet or options["dry_run"], live=live) as progress:
        result = compare(
            data,
            seeds=_read_seeds(str(options.pop("seeds"))),
            model=Model(
                **{name: options.pop(name) for name in ("layers", "dim", "heads", "init_std")},
                folder=own,
                weights=weights,
            ),
            options=Options(**{name: options.pop(name) for name in _DATA_OPTIONS}),
            training=Training(**{name: options.pop(name) for name in _TRAINING_OPTIONS}),
            on_plan=progress.plan,
            on_progress=progress.update,
            **options,
        )
    if options["dry_run"]:
        _render_plan(result, as_json=as_json)
        return 0
    _render(result, html=page, folder=progress.folder, as_json=as_json, quiet=quiet)
    if log:
        from milepost.reporting import write_logs

        write_logs({"": result}, log)
    return 1 if any(trial["status"] != "done" for trial in result["trials"]) else 0


def _refuse_sizes(options: dict[str, Any]) -> None:
    """A model of the user's own brings its sizes: others beside it would have to be ignored."""
    from milepost.errors import OptionError

    asked = [name for name in ("layers", "dim", "heads", "init_std") if options[name]]
    if asked:
        named = ", ".join(f"--{name.replace('_', '-')} {options[name]:g}" for name in asked)
        raise OptionError(
            "a model of your own brings its sizes",
            got=named,
            fix="leave them out, or change the config.json of --model",
        )


def _read_seeds(text: str) -> int | list[int]:
    from milepost.errors import OptionError

    try:
        return [int(part) for part in text.split(",") if part] if "," in text else int(text)
    except ValueError:
        raise OptionError("seeds are whole numbers", got=text, fix="--seeds 5, or --seeds 0,1,7") from None


def _render_plan(result: dict[str, Any], *, as_json: bool) -> None:
    from milepost.reporting import print_plan

    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    else:
        print_plan(result)


def _render(result: dict[str, Any], *, html: Path | None, folder: Path, as_json: bool, quiet: bool) -> None:
    from milepost.comparison.run_folder.views import place_of
    from milepost.errors import MissingExtra
    from milepost.reporting import print_compare

    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif not quiet:
        print_compare(result)
    place = place_of(result, folder)
    if place != folder and not quiet:
        click.echo(
            f"{folder} holds more than this call shows: its result.json and report.html stay", err=True
        )
    page = html or place / "report.html"
    try:
        if html or not _up_to_date(page, place / "result.json"):
            _write_page(result, page)
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


def _write_page(result: dict[str, Any], page: Path) -> None:
    from milepost.reporting import render_compare_html
    from milepost.storage.files import durable

    text = render_compare_html(result)
    with durable(page) as beside:
        beside.write_text(text, "utf-8")
