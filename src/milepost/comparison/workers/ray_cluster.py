"""The trials of a sweep as tasks of a Ray cluster: Ray places them, and repeats those whose node died."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from milepost.comparison.design import Trial
from milepost.comparison.plan import Job, Progress
from milepost.comparison.run_folder.folder import RunFolder, compare_records, environment
from milepost.comparison.run_folder.journal import Journal
from milepost.comparison.workers.runner import find_divergence, run_jobs
from milepost.comparison.workers.scale import Scale
from milepost.errors import DiskFull, FolderError, MilepostError, MissingExtra, OptionError
from milepost.storage.files import durable

_MOST_DEATHS = 5  # of nodes under one trial, after which it has failed
_RECORD = "trial.json"  # written last: with it a trial is trained
_TEMPORARY = ("lock", ".", "checkpoint-")  # what of a trial's folder does not travel
_NEWS = ("failed", "diverged", "finished")


@dataclass(frozen=True)
class Order:
    """What a node needs to know to run jobs.

    Args:
        jobs: one, or those of a batch of models.
        folder: the run folder, as the caller names it.
        directory: the current one of the caller, from which paths of data are read where a node has it too.
        mark: a file there, by which a node sees whether the folder is shared with it.
        files: of the jobs' trials, for nodes that do not share it: content by path.
        environment: of the caller; a node with another one gives other bits.
        device: a torch device.
        checkpoint_seconds: between two checkpoints.
        scale: how each trial is spread on the node.
    """

    jobs: tuple[Job, ...]
    folder: str
    directory: str
    mark: str
    files: Mapping[str, bytes]
    environment: Mapping[str, Any]
    device: str
    checkpoint_seconds: float
    scale: Scale


@dataclass(frozen=True)
class Answer:
    """What became of an order.

    Args:
        failures: reason by trial.
        files: that the trials left, where the folder is not shared.
        events: of the node's journal, likewise.
        stopped: code, problem, got and fix of the error that must end the sweep.
    """

    failures: Mapping[Trial, str]
    files: Mapping[str, bytes]
    events: tuple[dict[str, Any], ...] = ()
    stopped: tuple[str, str, str, str] | None = None


def run_on_ray(
    batches: Sequence[Sequence[Job]],
    folder: Path,
    *,
    scale: Scale,
    device: str,
    on_progress: Callable[[Progress], None],
    checkpoint_seconds: float = 30.0,
) -> dict[Trial, str]:
    """Run all jobs on a Ray cluster; results are left in the folder, the same bits as without Ray.

    Each task runs the same worker as a run on one machine. Where a node dies Ray gives its tasks to others: a trial
    goes on from its checkpoint if the nodes share the folder, and begins anew if they do not. Data must lie at the
    same path on every node.

    Args:
        batches: jobs that go to one node together.
        folder: the run folder.
        scale: the cluster, and what a trial takes of it.
        device: a torch device.
        on_progress: told when trials end.
        checkpoint_seconds: between two checkpoints of a trial.

    Returns:
        Trials that failed, each with its reason.

    Raises:
        MissingExtra: MP106. OptionError: MP105, no such cluster, or one without the devices that are asked for.
        FolderError: MP107. DiskFull: MP108.
    """
    failures: dict[Trial, str] = {}
    with _connected(scale) as ray, _marked(folder) as mark:
        task = ray.remote(
            num_cpus=scale.processes_per_trial,
            num_gpus=scale.gpus_per_trial,
            max_retries=_MOST_DEATHS,
            scheduling_strategy="SPREAD",
        )(carry_out)
        waiting = {}
        try:
            for jobs in batches:
                files = pack(folder, jobs)
                order = Order(
                    tuple(jobs),
                    str(folder.resolve()),
                    str(Path.cwd()),
                    mark,
                    files,
                    environment(device),
                    device,
                    checkpoint_seconds,
                    scale,
                )
                waiting[task.remote(order)] = jobs
            while waiting:
                (ready,), _ = ray.wait(list(waiting), num_returns=1)
                jobs = waiting.pop(ready)
                try:
                    answer = ray.get(ready)
                except ray.exceptions.RayError as error:
                    reason = f"Ray gave it up: {type(error).__name__}"
                    answer = Answer({job.trial: reason for job in jobs}, {})
                _take(answer, folder)
                failures |= answer.failures
                for job in jobs:
                    steps = job.trial.design.training.steps
                    failure = answer.failures.get(job.trial) or find_divergence(RunFolder(folder), job.trial)
                    on_progress(Progress(job.trial, steps, True, failure))
        finally:
            for left in waiting:
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.cancel(left, force=True)
    return failures


@contextlib.contextmanager
def _connected(scale: Scale) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra.of("ray", "ray") from error
    with contextlib.nullcontext() if ray.is_initialized() else _joined(ray, scale.ray):
        for kind, wanted in (("CPU", scale.processes_per_trial), ("GPU", scale.gpus_per_trial)):
            there = max((node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]), default=0)
            if there < wanted:
                raise OptionError(
                    "no node of the cluster has what a trial takes",
                    got=f"{there:g} {kind} on the largest, {wanted:g} wanted",
                    fix="lower --gpus-per-trial or --processes-per-trial",
                )
        yield ray


@contextlib.contextmanager
def _joined(ray: Any, address: str | None) -> Iterator[None]:
    """Within, this process is connected to a cluster; one is started where none is named."""
    address = address or os.environ.get("RAY_ADDRESS")
    # the dashboard is a choice of whoever starts a cluster
    place: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
    with tempfile.TemporaryDirectory() as empty:
        try:
            # Ray 2.60 puts the directory in which a program connects first on the import path of every worker
            with contextlib.chdir(empty):
                ray.init(**place, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise OptionError(
                "no Ray cluster can be reached there",
                got=f"{address}: {error}",
                fix="--ray HOST:6379, or --ray",
            ) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _marked(folder: Path) -> Iterator[str]:
    path = folder / "trials" / f".cluster-{secrets.token_hex(8)}"
    with durable(path):
        pass
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def carry_out(order: Order) -> Answer:
    """Run an order on this node."""
    differences = compare_records(dict(order.environment), environment(order.device))
    if differences:
        reason = f"another environment on the node: {'; '.join(differences)}"
        return Answer({job.trial: reason for job in order.jobs}, {})
    shared = (Path(order.folder) / "trials" / order.mark).exists()
    with contextlib.ExitStack() as stack:
        folder = Path(order.folder if shared else stack.enter_context(tempfile.TemporaryDirectory()))
        if not shared:
            unpack(order.files, folder)
        if Path(order.directory).is_dir():
            stack.enter_context(contextlib.chdir(order.directory))
        try:
            failures = run_jobs(
                order.jobs,
                folder,
                workers=1,
                device=order.device,
                on_progress=lambda _: None,
                checkpoint_seconds=order.checkpoint_seconds,
                scale=order.scale,
            )
        except FolderError as error:
            return Answer({}, {}, (), (error.code, error.problem, error.got, error.fix))
        except MilepostError as error:
            return Answer({job.trial: f"{error.problem} ({error.got})" for job in order.jobs}, {})
        if shared:
            return Answer(failures, {})
        return Answer(failures, pack(folder, order.jobs), RunFolder(folder).journal.read().entries)


def _take(answer: Answer, folder: Path) -> None:
    """Put what a node sent back into the run folder."""
    if answer.stopped is not None:
        code, problem, got, fix = answer.stopped
        raise (DiskFull if code == DiskFull.code else FolderError)(problem, got=got, fix=fix)
    unpack(answer.files, folder)
    journal = Journal(folder / "journal.jsonl")
    for entry in answer.events:
        if entry["event"] in _NEWS:
            told = {name: value for name, value in entry.items() if name != "time"}
            journal.append(told.pop("event"), told.pop("trial"), **told)


def pack(folder: Path, jobs: Sequence[Job]) -> dict[str, bytes]:
    """All files that the trials of jobs have in a run folder, less locks and checkpoints, by their path there."""
    found = {}
    for job in jobs:
        place = RunFolder(folder).trial_path(job.trial)
        for path in sorted(place.rglob("*")):
            if path.is_file() and not path.name.startswith(_TEMPORARY):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write packed files; a trial's record comes last, for with it the trial counts as trained."""
    for name in sorted(files, key=lambda name: Path(name).name == _RECORD):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise FolderError("a node sent a file for another folder", got=name, fix="check the cluster")
        with durable(path) as beside:
            beside.write_bytes(files[name])
