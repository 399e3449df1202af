"""The trials of a sweep as tasks of a Ray cluster: Ray places them, and repeats those whose node died."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from milepost.comparison.design import Trial
from milepost.comparison.plan import Job, Progress
from milepost.comparison.run_folder.folder import RunFolder, environment
from milepost.comparison.run_folder.journal import Journal
from milepost.comparison.workers.messages import Stop, reason_of
from milepost.comparison.workers.runner import find_divergence, run_jobs
from milepost.comparison.workers.running import Running
from milepost.comparison.workers.scale import Scale
from milepost.errors import FolderError, MilepostError, MissingExtra, OptionError
from milepost.plugins import read_file
from milepost.storage.files import durable
from milepost.storage.records import compare_records

_MOST_DEATHS = 5  # of nodes under one trial, after which it has failed
_RECORD = "trial.json"  # written last: with it a trial is trained
_TEMPORARY = ("lock", ".", "checkpoint-")  # what of a trial's folder does not travel
_NEWS = ("failed", "diverged", "finished")


@dataclass(frozen=True)
class NodeOrder:
    """What a node needs to know to run jobs.

    Args:
        jobs: one, or those of a batch of models.
        folder: the run folder, as the caller names it.
        running: where and how trials run.
        directory: the current one of the caller, from which paths of data are read where a node has it too.
        mark: a file there, by which a node sees whether the folder is shared with it.
        files: of the jobs' trials, for nodes that do not share it: content by path.
        environment: of the caller; a node with another one gives other bits.
        code: of files that the jobs' design imports: content by SHA-256.
    """

    jobs: tuple[Job, ...]
    folder: Path
    running: Running
    directory: Path
    mark: str
    files: Mapping[str, bytes]
    environment: Mapping[str, Any]
    code: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeReply:
    """What became of an order.

    Args:
        failures: reason by trial.
        files: that the trials left, where the folder is not shared.
        events: of the node's journal, likewise.
        stop: the error that must end the sweep.
    """

    failures: Mapping[Trial, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()
    stop: Stop | None = None


def run_on_ray(
    batches: Sequence[Sequence[Job]],
    folder: Path,
    running: Running,
    on_progress: Callable[[Progress], None],
) -> dict[Trial, str]:
    """Run all jobs on a Ray cluster; results are left in the folder, the same bits as without Ray.

    Each task runs the same worker as a run on one machine. If a node dies, Ray gives its tasks to others: a trial
    continues from its checkpoint if the nodes share the folder, and starts again if they do not. Data must lie at
    the same path on every node.

    Args:
        batches: jobs that go to one node together.
        folder: the run folder.
        running: where and how trials run; its ``scale`` names the cluster, and what a trial takes of it.
        on_progress: told when trials end.

    Returns:
        Trials that failed, each with its reason.

    Raises:
        MissingExtra: MP106. OptionError: MP105, no such cluster, or one without the devices that are asked for.
        FolderError: MP107. DiskFull: MP108.
    """
    failures: dict[Trial, str] = {}
    scale = running.scale
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
                waiting[task.remote(_order(jobs, folder, running, mark))] = jobs
            while waiting:
                (ready,), _ = ray.wait(list(waiting), num_returns=1)
                jobs = waiting.pop(ready)
                try:
                    reply = ray.get(ready)
                except ray.exceptions.RayError as error:
                    reply = _fail_all(jobs, f"Ray gave it up: {type(error).__name__}")
                _take(reply, folder)
                failures |= reply.failures
                _tell(jobs, reply, RunFolder(folder), on_progress)
        finally:
            for left in waiting:
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.cancel(left, force=True)
    return failures


def _order(jobs: Sequence[Job], folder: Path, running: Running, mark: str) -> NodeOrder:
    files, here = pack(folder, jobs), environment(running.device)
    imports = {one for job in jobs for one in job.trial.design.imports if one.path}
    code = {one.sha256: read_file(Path(one.path)) for one in imports}
    return NodeOrder(tuple(jobs), folder.resolve(), running, Path.cwd(), mark, files, here, code)


def _fail_all(jobs: Sequence[Job], reason: str) -> NodeReply:
    return NodeReply({job.trial: reason for job in jobs})


def _tell(
    jobs: Sequence[Job], reply: NodeReply, folder: RunFolder, on_progress: Callable[[Progress], None]
) -> None:
    for job in jobs:
        failure = reply.failures.get(job.trial) or find_divergence(folder, job.trial)
        on_progress(Progress(job.trial, job.trial.design.training.steps, True, failure))


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


def carry_out(order: NodeOrder) -> NodeReply:
    """Run an order on this node."""
    running = order.running
    differences = compare_records(dict(order.environment), environment(running.device))
    if differences:
        return _fail_all(order.jobs, f"another environment on the node: {'; '.join(differences)}")
    shared = (order.folder / "trials" / order.mark).exists()
    with contextlib.ExitStack() as stack:
        folder = order.folder if shared else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not shared:
            unpack(order.files, folder)
        if order.directory.is_dir():
            stack.enter_context(contextlib.chdir(order.directory))
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            jobs = _put_code(order, place)
            failures = run_jobs(jobs, folder, replace(running, workers=1), lambda _: None)
        except FolderError as error:
            return NodeReply(stop=Stop.of(error))
        except MilepostError as error:
            return _fail_all(order.jobs, reason_of(error))
        if shared:
            return NodeReply(failures)
        return NodeReply(failures, pack(folder, order.jobs), RunFolder(folder).journal.read().entries)


def _put_code(order: NodeOrder, place: Path) -> tuple[Job, ...]:
    """Write files that the jobs import into a folder of this node; the jobs then name them there.

    Whether they are what the design says is checked by whoever imports them.
    """

    def put(trial: Trial) -> Trial:
        imports = tuple(
            replace(one, path=str(place / one.sha256 / one.name)) if one.path else one
            for one in trial.design.imports
        )
        return replace(trial, design=replace(trial.design, imports=imports))

    names = {one.sha256: one.name for job in order.jobs for one in job.trial.design.imports}
    for sha256, content in order.code.items():
        (place / sha256).mkdir()
        (place / sha256 / names[sha256]).write_bytes(content)
    return tuple(
        replace(job, trial=put(job.trial), companions=tuple(map(put, job.companions))) for job in order.jobs
    )


def _take(reply: NodeReply, folder: Path) -> None:
    """Put what a node sent back into the run folder."""
    if reply.stop is not None:
        raise reply.stop.error()
    unpack(reply.files, folder)
    journal = Journal(folder / "journal.jsonl")
    for entry in reply.events:
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
