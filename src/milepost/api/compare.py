"""Matched models that differ in their position encoding alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from milepost.errors import OptionError, UnknownName

if TYPE_CHECKING:
    from milepost.comparison.plan import Plan, Progress
    from milepost.plugins import Imports

PRESETS: Final[Mapping[str, Mapping[str, int]]] = {
    "quick": {"layers": 2, "dim": 64, "heads": 8, "steps": 600, "batch": 32, "seeds": 3},
    "standard": {"layers": 4, "dim": 128, "heads": 8, "steps": 2_000, "batch": 32, "seeds": 5},
    "thorough": {"layers": 6, "dim": 256, "heads": 8, "steps": 10_000, "batch": 64, "seeds": 10},
}


def compare(
    data: str | None = None,
    *,
    task: str = "causal-lm",
    encodings: str | Sequence[str] = "learned,sinusoidal,rotary,alibi,t5,none",
    imports: Imports | None = None,
    baseline: str | None = None,
    train_length: int | None = None,
    lengths: str | Sequence[int] | None = None,
    preset: str = "quick",
    seeds: int | str | Sequence[int] | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float = 2e-3,
    layers: int | None = None,
    dim: int | None = None,
    heads: int | None = None,
    init_std: float = 0.0,
    model: str | os.PathLike[str] | None = None,
    weights: bool = False,
    tokenizer: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    header: bool = True,
    encoding: str = "utf-8",
    layout: str = "auto",
    fill: str = "none",
    evaluate: str = "blocks",
    patch: int = 0,
    horizon: int = 0,
    match: str | None = None,
    tune_lr: str | Sequence[float] | None = None,
    tune_scale: str | Sequence[float] | None = None,
    metric: str | None = None,
    need_length: int | None = None,
    max_parameters: int | None = None,
    until: str | None = None,
    max_seeds: int = 20,
    margin: float = 0.01,
    workers: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    compile: bool = False,
    weight_decay: float = 0.01,
    warmup_share: float = 0.1,
    clip: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.98),
    batch_seeds: int = 1,
    processes_per_trial: int = 1,
    distributed: str = "ddp",
    ray: str | None = None,
    gpus_per_trial: float = 0.0,
    out: str | Path | None = None,
    restart: bool = False,
    retry_failed: bool = False,
    keep_models: bool = False,
    checkpoint_seconds: float = 30.0,
    dry_run: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_plan: Callable[[Plan], None] | None = None,
) -> dict[str, Any]:
    """Train one model per encoding and seed, measure all at each length, and say what the numbers carry.

    Trials of one seed share the initial value of every weight they have in common and see the same batches in
    the same order. Finished trials are never run again; a call that was killed continues with what is missing.

    Args:
        data: a file, a folder of files, or ``builtin:NAME``; what comes with the task by default.
        task: what the models are asked to do, one of ``milepost.tasks.TASKS``.
        encodings: spec strings, in a list or comma separated.
        baseline: the encoding that the others are compared with; ``learned`` where it is listed, else the first.
        train_length: of training inputs, in the task's unit; their positions are the rows of a learned table.
        lengths: lengths at which to measure, in that unit; the trained length is always among them.
        seeds: how many, or which, also as text: ``0,1,5``; the preset's by default. Fewer than three name no winner.
        imports: your own code that defines encodings or tasks: paths of files (``my_encoding.py``) and names of
            installed modules, one or several; modules are never looked for in the current directory. Their hashes are
            a part of the design: after a change all trials are trained again.
        preset: ``quick``, ``standard`` or ``thorough``: layers, dim, heads, steps, batch and seeds where they are not given.
        layers, dim, heads, init_std: of the model that all trials share (``milepost.comparison.Model``).
        model: folder of a model of your own: its architecture, from scratch; it brings its sizes.
        weights: with ``model``: begin from its weights.
        steps, batch, lr, dtype, compile, weight_decay, warmup_share, clip, betas: the recipe that all trials share
            (``milepost.comparison.Training``).
        tokenizer: that of ``model`` by default, else ``char``.
        validation, test, text_column, label_column, header, encoding, layout, fill, evaluate, patch, horizon: what else
            there is to say of the data (``milepost.tasks.Options``).
        match: ``parameters`` widens the feed-forward layers of models with fewer parameters.
        tune_lr: learning rates to choose from for each encoding, on the validation part; ``auto`` is half, once
            and twice ``lr``. Every rate is trained with every seed.
        tune_scale: factors to choose from on the initial scale of what an encoding adds, likewise.
        metric: name of the metric that decides, one of the task's; its first by default. Choose before you look.
        need_length: the length that decides; the trained one by default.
        max_parameters: most parameters that an encoding may add to be recommended.
        until: ``decided`` adds seeds until every encoding's verdict at the deciding length is shown.
        max_seeds: most seeds that ``until`` adds up to.
        margin: difference that does not matter: absolute for a metric between 0 and 1 such as accuracy, otherwise
            a share of the baseline's value.
        workers: processes at once, each with one thread; the number of processors by default.
        device: a torch device.
        batch_seeds, processes_per_trial, distributed, ray, gpus_per_trial: many seeds at once, many processes for one trial,
            or a Ray cluster (``milepost.comparison.Scale``).
        out: the run folder; ``milepost-runs/<task>-<hash of the design>`` by default.
        restart: train all trials of the folder again.
        retry_failed: run trials again that raised or diverged; without it their reasons are told again.
        keep_models: leave each trial's model as a folder, ``trials/<key>/model``, for ``milepost.load``.
        checkpoint_seconds: time between two checkpoints of a trial; 0 is each step. The result is the same.
        dry_run: plan only: nothing is written, and the result says what time and memory it would take, by a
            few training steps of each encoding.
        on_progress: told of each trial's progress.
        on_plan: told the folder, all trials and the jobs still to do, before they begin.

    Returns:
        The result, a JSON document as ``schemas/compare.json`` says; also left in the folder as ``result.json``, or
        in ``views/HASH`` of it, where ``result.json`` holds encodings, seeds or lengths that this call left out.
        All of it but ``environment`` and each trial's ``measured`` is the same in a repeated run.

    Raises:
        SpecError: MP103. UnknownName: MP104. OptionError: MP105. DataError: MP110.
        FolderError: MP107, the folder holds another design, or trials of another environment.
        DiskFull: MP108, when the disk has no room, or becomes full; what is whole is kept.
        TrialFailed: MP140, when no worker can be started. MissingExtra: MP106, without Ray where it is asked for.
        PluginError: MP109, code of ``imports`` or of an installed package that cannot be imported.
    """
    from milepost.comparison.design import Model, Training
    from milepost.comparison.options import (
        FolderOptions,
        Inputs,
        Listeners,
        Question,
        Shared,
        Stopping,
        Tuning,
    )  # fmt: skip
    from milepost.comparison.request import Purpose
    from milepost.comparison.sweep import Sweep
    from milepost.comparison.workers.running import Running, available_processors
    from milepost.comparison.workers.scale import Scale
    from milepost.storage.files import expand
    from milepost.tasks import Options

    if model:
        _refuse_sizes({"layers": layers, "dim": dim, "heads": heads, "init_std": init_std})
    if preset not in PRESETS:
        raise UnknownName.among("preset", preset, PRESETS)
    given = {"layers": layers, "dim": dim, "heads": heads, "steps": steps, "batch": batch}
    size = {**PRESETS[preset], **{name: value for name, value in given.items() if value is not None}}
    folder = "" if not model else str(expand(model)) if str(model).startswith("~") else os.fspath(model)
    options = Options(
        validation=validation, test=test, text_column=text_column, label_column=label_column, header=header,
        encoding=encoding, evaluate=evaluate, patch=patch, horizon=horizon, layout=layout, fill=fill,
    )  # fmt: skip
    training = Training(
        steps=size["steps"], batch=size["batch"], lr=lr, betas=betas, weight_decay=weight_decay,
        warmup_share=warmup_share, clip=clip, dtype=dtype, compile=compile,
    )  # fmt: skip
    shared = Model(size["layers"], size["dim"], size["heads"], init_std, folder=folder, weights=weights)
    sweep = Sweep.from_options(
        Inputs(task, data, train_length, lengths, options, tokenizer, imports),
        Question(encodings, baseline, metric, margin, Purpose(need_length, max_parameters)),
        Stopping(size["seeds"] if seeds is None else seeds, until, max_seeds),
        Tuning(tune_lr, tune_scale),
        Shared(shared, training, match),
        Running(
            device,
            available_processors() if workers is None else workers,
            checkpoint_seconds,
            Scale(batch_seeds, distributed, processes_per_trial, ray, gpus_per_trial),
        ),
        FolderOptions(out, restart, retry_failed, keep_models, dry_run),
        Listeners(on_plan or (lambda _: None), on_progress or (lambda _: None)),
    )
    return sweep.run()


def _refuse_sizes(sizes: Mapping[str, float | None]) -> None:
    """A model of the user's own brings its sizes: others would have to be ignored."""
    if asked := {name: value for name, value in sizes.items() if value}:
        raise OptionError(
            "a model of your own brings its sizes",
            got=", ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in asked.items()),
            fix="leave them out, or change the config.json of --model",
        )
