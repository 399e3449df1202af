"""A sweep: the trials of a comparison trained, measured and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from milepost.comparison.design import Design, Trial, read_encodings
from milepost.comparison.estimate import estimate
from milepost.comparison.matching import Models, match_models
from milepost.comparison.options import (
    FolderOptions,
    Inputs,
    Listeners,
    Question,
    Shared,
    Stopping,
    Tuning,
    read_baseline,
    read_metric,
)
from milepost.comparison.plan import Job, Plan, build_plan, needed_bytes
from milepost.comparison.request import Request
from milepost.comparison.result import build_result, is_decided, read_values
from milepost.comparison.run_folder.earlier import note_changes
from milepost.comparison.run_folder.views import write_result
from milepost.comparison.settings import choose_setting
from milepost.comparison.trials.model import read_model
from milepost.comparison.workers.runner import gather_seeds, run_jobs
from milepost.comparison.workers.running import Running
from milepost.encodings import classes_in
from milepost.errors import DiskFull
from milepost.plugins import complete, load_imports
from milepost.storage.disk import refuse_small_disk
from milepost.tasks import Task, find_task


class Sweep:
    """One call of ``compare``: what was asked for, where it is kept, and what became of its trials.

    Args:
        request: what was asked for, read and checked. Seeds and chosen settings are added on the way.
        models: of its encodings, before training.
        task: the data.
        running: where and how trials run.
        options: of the run folder, which is opened here.
        listeners: whom to tell.
    """

    def __init__(
        self,
        request: Request,
        models: Models,
        task: Task,
        running: Running,
        options: FolderOptions,
        listeners: Listeners,
    ) -> None:
        self.request = request
        self.folder = options.open(request)
        self.failures: dict[Trial, str] = {}
        self._models, self._task, self._running = models, task, running
        self._options, self._listeners = options, listeners
        self._environment = running.environment()
        self._tried = set[Trial]()
        self._changes = tuple(note_changes(request.design, self.folder.path))

    @classmethod
    def from_options(
        cls,
        inputs: Inputs,
        question: Question,
        stopping: Stopping,
        tuning: Tuning,
        shared: Shared,
        running: Running,
        options: FolderOptions,
        listeners: Listeners,
    ) -> Sweep:
        """Read and check all options, open the data and build each model once; nothing is trained or written.

        Raises:
            MilepostError: as ``milepost.compare``.
        """
        code = load_imports(inputs.imports)
        kind = find_task(inputs.task)
        names = read_encodings(question.encodings)
        code = complete(code, [kind, *(cls for name in names for cls in classes_in(name))])
        baseline, metric = read_baseline(question.baseline, names), read_metric(question.metric, kind)
        seeds, sequential = stopping.read()
        trained, lengths = inputs.read_lengths(kind, question.purpose.need_length)
        grid = tuning.read(shared.training.lr)
        model = read_model(shared.model)
        said = inputs.read_options(kind, model)
        running.check_device()
        source = inputs.data or kind.source
        task = kind.open(source, said)
        task.check_lengths(trained, lengths)
        design = Design(inputs.task, source, task.sha256, trained, said, model, shared.training, code)
        models = match_models(design, names, task, shared.match)
        running.scale.check(models.design)
        request = Request(
            models.design, names, seeds, seeds, lengths, baseline, question.margin, metric, question.purpose,
            grid, models.scalable, sequential=sequential,
        )  # fmt: skip
        return cls(request, models, task, running, options, listeners)

    def run(self) -> dict[str, Any]:
        """Train what is missing, choose settings, add seeds where that was asked for, and write the result.

        Returns:
            The document of ``schemas/compare.json``.
        """
        self.train()
        self.choose()
        result = self.result()
        while self._continues(result):
            self.request = self.request.with_seeds(len(self.request.seeds) + 1)
            self.train()
            result = self.result()
        if self._options.dry_run:
            running = self._running
            taken = estimate(self.plan().jobs, self._task, workers=running.workers, device=running.device)
            return result | {"estimate": taken}
        write_result(result, self.folder.path)
        return result

    def plan(self) -> Plan:
        """All trials, and the jobs that are still to do."""
        plan = build_plan(
            self.request,
            self.folder,
            self._task,
            keep_models=self._options.keep_models,
            # a trial that fails again is not tried a third time when seeds are added
            retries=lambda trial: self._options.retry_failed and trial not in self._tried,
        )
        return replace(plan, notes=(*plan.notes, *self._changes))

    def train(self) -> None:
        """Do the jobs that are still to do; trials that failed are in ``failures``."""
        plan = self.plan()
        self._listeners.on_plan(plan)
        self.failures |= plan.failures
        if not plan.jobs or self._options.dry_run:
            return
        self.folder.check_environment(self._environment)
        refuse_small_disk(self.folder.path / "trials", self._needed_bytes(plan))
        try:
            self.folder.begin(self.request.design, self._environment)
            self.failures |= self._run(plan.jobs)
        except DiskFull as error:
            left = self._needed_bytes(self.plan())
            got = f"{error.got}; what is left needs about {left:,} bytes"
            raise DiskFull(error.problem, got=got, fix=error.fix) from error
        self._tried.update(job.trial for job in plan.jobs)

    def choose(self) -> None:
        """Choose each encoding's setting on the validation part, where several were tried."""
        request = self.request
        if not request.grid.tuned:
            return
        chosen = {}
        for name in request.encodings:
            values = {
                setting: read_values(
                    request, self.folder, name, setting, request.design.train_length, "validation"
                )
                for setting in request.settings(name)
            }
            chosen[name] = choose_setting(values, higher_is_better=request.metric.higher_is_better)
        self.request = replace(request, chosen=chosen)

    def result(self) -> dict[str, Any]:
        """The result of the trials as they are now."""
        return build_result(self.request, self.folder, self.failures, self._task, self._environment)

    def _continues(self, result: dict[str, Any]) -> bool:
        looks = self.request.sequential
        if looks is None or self._options.dry_run:
            return False
        return len(self.request.seeds) < looks.looks[-1] and not is_decided(result)

    def _needed_bytes(self, plan: Plan) -> int:
        at_once = self._running.workers * self._running.scale.batch_seeds
        return needed_bytes(plan.jobs, self.folder, self._models.weights_bytes, at_once)

    def _run(self, jobs: Sequence[Job]) -> dict[Trial, str]:
        """Run jobs here or on a cluster, those of a batch of models one after another."""
        running, tell = self._running, self._listeners.on_progress
        batches = gather_seeds(jobs, running.scale.batch_seeds)
        if running.scale.ray is not None:
            from milepost.comparison.workers.ray_cluster import run_on_ray

            return run_on_ray(batches, self.folder.path, running, tell)
        first, later = [batch[0] for batch in batches], [job for batch in batches for job in batch[1:]]
        return run_jobs(first + later, self.folder.path, running, tell)
