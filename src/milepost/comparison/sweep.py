"""``milepost.compare``: matched models that differ in their position encoding alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from milepost.comparison.design import (
    ENCODINGS,
    Design,
    Model,
    Training,
    Trial,
    read_encodings,
    read_lengths,
    read_seeds,
)
from milepost.comparison.plan import Job, Plan, Progress, build_plan, needed_bytes
from milepost.comparison.refusals import (
    choose_tokenizer,
    refuse_missing_device,
    refuse_strange_tokenizer,
)
from milepost.comparison.request import Purpose, Sweep, read_baseline, read_metric, read_until
from milepost.comparison.run_folder.earlier import note_changes
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.run_folder.views import write_result
from milepost.comparison.settings import Grid, choose_setting, read_grid
from milepost.comparison.trials.model import read_model
from milepost.comparison.verdicts.result import build_result, is_decided, read_values
from milepost.comparison.workers.runner import gather_seeds, run_jobs
from milepost.comparison.workers.running import Running, available_processors
from milepost.comparison.workers.scale import Scale
from milepost.encodings import classes_in
from milepost.errors import DiskFull, OptionError
from milepost.plugins import Imports, complete, load_imports
from milepost.storage.disk import refuse_small_disk
from milepost.storage.files import expand
from milepost.tasks import Options, Task, find_task

RUNS = "milepost-runs"


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
        baseline: the encoding that the others are held against; ``learned`` where it is listed, else the first.
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
    code = load_imports(imports)
    kind = find_task(task)
    data, trained = data or kind.source, kind.train_length if train_length is None else train_length
    names = read_encodings(encodings)
    code = complete(code, [kind, *(cls for name in names for cls in classes_in(name))])
    base = read_baseline(baseline, names)
    wanted_seeds = read_seeds(seeds)
    deciding = read_metric(metric, kind)
    purpose = Purpose(need_length, max_parameters)
    measured = [*read_lengths(kind.lengths if lengths is None else lengths), trained]
    wanted_lengths = read_lengths(measured if need_length is None else [*measured, need_length])
    recipe = training or Training()
    grid = Grid(read_grid("tune-lr", tune_lr, recipe.lr), read_grid("tune-scale", tune_scale, 1.0))
    sequential = read_until(until, wanted_seeds, max_seeds)
    if sequential is not None and len(wanted_seeds) < sequential.looks[0]:
        wanted_seeds = read_seeds(sequential.looks[0])
    if not 0 <= margin < 1:
        raise OptionError(
            "the margin must be at least 0 and below 1", got=str(margin), fix="0.01 is one per cent"
        )
    running = Running(
        device, available_processors() if workers is None else workers, checkpoint_seconds, scale or Scale()
    )
    size = read_model(model or Model())
    said = options or Options(tokenizer=choose_tokenizer(size.folder, reads_text=kind.reads_text))
    if size.weights and kind.reads_text:
        refuse_strange_tokenizer(said.tokenizer, size.folder)
    if running.scale.ray is None:
        refuse_missing_device(device)
    content = kind.open(data, said)
    content.check_lengths(trained, wanted_lengths)
    design = Design(task, data, content.sha256, trained, said, size, recipe, code)
    design, scalable, sizes = _build_all(design, names, content, match)
    sweep = Sweep(
        design, names, wanted_seeds, wanted_seeds, wanted_lengths, base, margin, deciding, purpose, grid,
        scalable, sequential=sequential,
    )  # fmt: skip
    running.scale.check(design)
    folder = RunFolder(expand(out) if out else Path(RUNS) / f"{task}-{design.key()}")
    changes = note_changes(design, folder.path)
    folder.check(design)
    if not restart:
        folder.check_looks(sequential.looks if sequential else None)
    elif not dry_run:
        folder.restart()
    here, at_once = running.environment(), running.workers * running.scale.batch_seeds
    tried = set[Trial]()

    def plan_for(sweep: Sweep) -> Plan:
        # a trial that fails again is not tried a third time when seeds are added
        plan = build_plan(
            sweep,
            folder,
            content,
            keep_models=keep_models,
            retries=lambda trial: retry_failed and trial not in tried,
        )
        return replace(plan, notes=(*plan.notes, *changes))

    def train(sweep: Sweep) -> dict[Trial, str]:
        plan = plan_for(sweep)
        if on_plan is not None:
            on_plan(plan)
        if not plan.jobs or dry_run:
            return dict(plan.failures)
        folder.check_environment(here)
        refuse_small_disk(folder.path / "trials", needed_bytes(plan.jobs, folder, sizes, at_once))
        try:
            folder.begin(design, here)
            failures = _run(plan.jobs, folder.path, running, on_progress or (lambda _: None))
        except DiskFull as error:
            left = needed_bytes(plan_for(sweep).jobs, folder, sizes, at_once)
            got = f"{error.got}; what is left needs about {left:,} bytes"
            raise DiskFull(error.problem, got=got, fix=error.fix) from error
        tried.update(job.trial for job in plan.jobs)
        return {**plan.failures, **failures}

    failures = train(sweep)
    sweep = _choose(sweep, folder)
    result = build_result(sweep, folder, failures, content, here)
    while sequential and len(sweep.seeds) < sequential.looks[-1] and not is_decided(result) and not dry_run:
        sweep = sweep.with_seeds(len(sweep.seeds) + 1)
        failures |= train(sweep)
        result = build_result(sweep, folder, failures, content, here)
    if dry_run:
        from milepost.comparison.estimate import estimate

        taken = estimate(plan_for(sweep).jobs, content, workers=running.workers, device=device)
        return result | {"estimate": taken}
    write_result(result, folder.path)
    return result


def _run(
    jobs: Sequence[Job], folder: Path, running: Running, on_progress: Callable[[Progress], None]
) -> dict[Trial, str]:
    """Run jobs here or on a cluster, those of a batch of models one after another."""
    batches = gather_seeds(jobs, running.scale.batch_seeds)
    if running.scale.ray is not None:
        from milepost.comparison.workers.ray_cluster import run_on_ray

        return run_on_ray(batches, folder, running, on_progress)
    first, later = [batch[0] for batch in batches], [job for batch in batches for job in batch[1:]]
    return run_jobs(first + later, folder, running, on_progress)


def _build_all(
    design: Design, names: tuple[str, ...], task: Task, match: str | None
) -> tuple[Design, frozenset[str], dict[str, int]]:
    """Build each encoding once, so that a bad option is an error before anything is trained or written.

    Returns the design, with the number of parameters that all are to have, the encodings that have a scale,
    and the bytes that the weights of each take.
    """
    from milepost.comparison.trials.model import build_model, count_trainable, find_encoding

    if match not in (None, "parameters"):
        raise OptionError("parameters can be matched", got=f"match={match!r}", fix="--match parameters")
    if match and design.model.weights:
        raise OptionError("trained weights cannot be widened", got="match and weights", fix="leave one out")
    models = {name: build_model(Trial(design, name, 0), task) for name in names}
    scaled = {name: build_model(Trial(design, name, 0, scale=2.0), task) for name in names}
    scalable = frozenset(
        name for name in names if find_encoding(models[name]).scales != find_encoding(scaled[name]).scales
    )
    sizes = {name: sum(p.nbytes for p in model.parameters()) for name, model in models.items()}
    if match is None:
        return design, scalable, sizes
    most = max(map(count_trainable, models.values()))
    widened = dict.fromkeys(names, max(sizes.values()))
    return replace(design, model=replace(design.model, parameters=most)), scalable, widened


def _choose(sweep: Sweep, folder: RunFolder) -> Sweep:
    """Choose each encoding's setting on the validation part."""
    if not sweep.grid.tuned:
        return sweep
    chosen = {}
    for name in sweep.encodings:
        values = {
            setting: read_values(sweep, folder, name, setting, sweep.design.train_length, "validation")
            for setting in sweep.settings(name)
        }
        chosen[name] = choose_setting(values, higher_is_better=sweep.metric.higher_is_better)
    return replace(sweep, chosen=chosen)
