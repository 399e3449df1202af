"""The verb ``compare``: matched models that differ in their position encoding alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from milepost.comparison.design import ENCODINGS, Model, Training
from milepost.comparison.options import (
    FolderOptions,
    Inputs,
    Listeners,
    Question,
    Shared,
    Stopping,
    Tuning,
)
from milepost.comparison.plan import Plan, Progress
from milepost.comparison.request import Purpose
from milepost.comparison.sweep import Sweep
from milepost.comparison.workers.running import Running, available_processors
from milepost.comparison.workers.scale import Scale
from milepost.plugins import Imports
from milepost.tasks import Options


def compare(
    data: str | None = None,
    *,
    task: str = "causal-lm",
    encodings: str | Sequence[str] = ENCODINGS,
    baseline: str | None = None,
    train_length: int | None = None,
    lengths: str | Sequence[int] | None = None,
    seeds: int | Sequence[int] = 3,
    options: Options | None = None,
    imports: Imports | None = None,
    model: Model | None = None,
    training: Training | None = None,
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
    scale: Scale | None = None,
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
        encodings: spec strings.
        baseline: the encoding that the others are compared with; ``learned`` where it is listed, else the first.
        train_length: of training inputs, in the task's unit; their positions are the rows of a learned table.
        lengths: lengths at which to measure, in that unit; the trained length is always among them.
        seeds: how many, or which; fewer than three name no winner.
        options: what else there is to say of the data: tokenizer, columns, parts of its own.
        imports: your own code that defines encodings or tasks: paths of files (``my_encoding.py``) and names of
            installed modules, one or several. Never looked for in the current directory. Their hashes are a part of
            the design: after a change all trials are trained again.
        model: size and initial scale of the shared model, or the folder of one of the user's own.
        training: the shared recipe.
        match: ``parameters`` widens the feed-forward layers of models with fewer parameters.
        tune_lr: learning rates to choose from for each encoding, on the validation part; ``auto`` is half, once
            and twice that of ``training``. Every rate is trained with every seed.
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
        scale: many seeds at once, a Ray cluster, or many processes for one trial.
        out: the run folder; ``milepost-runs/<task>-<hash of the design>`` by default.
        restart: train all trials of the folder anew.
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
    sweep = Sweep.from_options(
        Inputs(task, data, train_length, lengths, options, imports),
        Question(encodings, baseline, metric, margin, Purpose(need_length, max_parameters)),
        Stopping(seeds, until, max_seeds),
        Tuning(tune_lr, tune_scale),
        Shared(model or Model(), training or Training(), match),
        Running(
            device,
            available_processors() if workers is None else workers,
            checkpoint_seconds,
            scale or Scale(),
        ),
        FolderOptions(out, restart, retry_failed, keep_models, dry_run),
        Listeners(on_plan or (lambda _: None), on_progress or (lambda _: None)),
    )
    return sweep.run()
