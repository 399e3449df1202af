"""Faults and kills at every turn: what a trial leaves in the end is the same, to the byte."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.plan import Job
from milepost.comparison.run_folder.folder import RunFolder, environment
from milepost.comparison.workers.messages import Order, Reply, Stop
from milepost.comparison.workers.running import Running
from milepost.comparison.workers.worker import carry_out
from milepost.tasks import CausalLM, Options

Tree = dict[str, Any]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")


@pytest.fixture(scope="module")
def task() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


def trials(task: CausalLM, *encodings: str, steps: int) -> list[Trial]:
    recipe, size = Training(steps=steps, batch=2), Model(layers=1, dim=16, heads=2)
    design = Design("causal-lm", task.streams.name, task.sha256, 8, model=size, training=recipe)
    return [Trial(design, name, 0) for name in encodings]


def serve(trial: Trial, folder: Path, task: CausalLM, **changes: Any) -> Reply:
    """Do in this process what a worker does with an order."""
    order = Order(Job(trial, (4, 8), (8,), **changes), folder, Running(checkpoint_seconds=0))
    return carry_out(order, {trial.design.key(): task}, lambda _: True)


def stop_of(reply: Reply) -> Stop:
    assert reply.kind == "stopped"
    assert reply.stop is not None
    return reply.stop


def left(folder: Path) -> Tree:
    """All that trials have left, but what was measured of the machine, and the journal."""
    tree: Tree = {}
    for path in sorted((folder / "trials").rglob("*")):
        if path.name == "trial.json" and path.parent.name != "model":
            tree[str(path.relative_to(folder))] = json.loads(path.read_text()) | {
                "measured": None,
                "sha256": None,
            }
        elif path.is_file():
            tree[str(path.relative_to(folder))] = path.read_bytes()
    return tree


def events(folder: Path, trial: Trial) -> list[str]:
    entries = RunFolder(folder).journal.read().entries
    return [entry["event"] for entry in entries if entry["trial"] == trial.key()]


class Faults:
    """Lets the system call number ``at`` of those that write fail, and all after it where ``lasting``."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, code: int, *, lasting: bool) -> None:
        self.count, self._at, self._code, self._lasting = 0, at, code, lasting
        for owner, name in (
            (os, "fsync"),
            (os, "write"),
            (Path, "write_bytes"),
            (Path, "write_text"),
            (Path, "replace"),
            (Path, "rename"),
        ):
            patch.setattr(owner, name, self._failing(getattr(owner, name)))

    def _failing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if str(arguments[0]).startswith("/proc"):  # no disk
                return call(*arguments, **named)
            self.count += 1
            if self.count == self._at or (self._lasting and self.count > self._at):
                raise OSError(self._code, os.strerror(self._code))
            return call(*arguments, **named)

        return wrapped


@pytest.mark.parametrize(
    ("code", "stride", "lasting"),
    [
        pytest.param(errno.ENOSPC, 1, False, marks=pytest.mark.slow),
        (errno.ENOSPC, 5, False),
        (errno.EDQUOT, 9, True),
        (errno.EIO, 11, False),
    ],
)
def test_a_disk_that_fails_at_any_write_stops_the_trial_cleanly_and_the_rest_is_kept(
    task: CausalLM, tmp_path: Path, code: int, stride: int, lasting: bool
) -> None:
    (trial,) = trials(task, "shape", steps=2)
    assert serve(trial, tmp_path / "whole", task, keep_model=True) == Reply("finished")
    wanted = left(tmp_path / "whole")
    assert any(path.endswith("model/model.safetensors") for path in wanted)
    for at in itertools.count(1, stride):
        folder = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, at, code, lasting=lasting)
            reply = serve(trial, folder, task, keep_model=True)
        if faults.count < at:
            assert reply == Reply("finished")
            break
        stop = stop_of(reply)
        assert stop.code == ("MP107" if code == errno.EIO else "MP108"), (at, reply)
        assert os.strerror(code) in stop.got
        assert serve(trial, folder, task, keep_model=True) == Reply("finished")
        assert left(folder) == wanted, at
        found = RunFolder(folder).journal.read()
        assert found.remarks == ()
        assert "failed" not in events(folder, trial)  # a full disk is no fault of the trial
    assert at > 20


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_on_a_disk_that_is_really_full_the_trial_goes_on_once_there_is_room(
    task: CausalLM, tmp_path: Path
) -> None:
    (trial,) = trials(task, "learned", steps=3)
    serve(trial, tmp_path / "whole", task, keep_model=True)
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        assert stop_of(serve(trial, small / "run", task, keep_model=True)).code == "MP108"
        assert "checkpoint" in events(small / "run", trial)
        subprocess.run(["mount", "-o", "remount,size=10m", str(small)], check=True)
        assert serve(trial, small / "run", task, keep_model=True) == Reply("finished")
        assert events(small / "run", trial)[-1] == "finished"
        assert "resumed" in events(small / "run", trial)
        assert left(small / "run") == left(tmp_path / "whole")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_trial_that_raises_is_remembered_with_its_reason_and_another_one_is_not_touched(
    task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = trials(task, "none", "alibi", steps=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CausalLM, "loss", lambda *_: 1 / 0)
        failed = serve(bad, tmp_path, task)
    # the line is in code that is not Milepost's: this file
    assert re.fullmatch(
        r"ZeroDivisionError: division by zero \(test_losing_nothing\.py, line \d+\)", str(failed.reason)
    )
    assert serve(good, tmp_path, task) == Reply("finished")
    past = RunFolder(tmp_path).journal.read().past(bad.key())
    assert (failed.kind, past.failures, past.reason) == ("failed", 1, failed.reason)
    # another call, planned before it failed, does not run it a second time; a retry does
    assert serve(bad, tmp_path, task, failures=0).kind == "failed"
    assert events(tmp_path, bad) == ["begun", "failed"]
    assert serve(bad, tmp_path, task, failures=1) == Reply("finished")
    assert RunFolder(tmp_path).journal.read().past(bad.key()).reason is None


def test_a_trial_that_diverged_is_run_again_when_that_is_asked_for(task: CausalLM, tmp_path: Path) -> None:
    (calm,) = trials(task, "none", steps=2)
    recipe = dataclasses.replace(calm.design.training, steps=30, lr=1e30, clip=0.0)
    wild = Trial(dataclasses.replace(calm.design, training=recipe), "none", 0)
    assert serve(wild, tmp_path, task) == Reply("finished")
    assert events(tmp_path, wild)[-1] == "diverged"
    assert serve(wild, tmp_path, task, failures=1) == Reply("finished")
    assert events(tmp_path, wild).count("begun") == 1
    assert serve(wild, tmp_path, task, failures=1, again=True) == Reply("finished")
    assert events(tmp_path, wild).count("begun") == 2


def test_data_that_changed_since_is_the_reason_of_the_failure(task: CausalLM, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc " * 500)
    changed = Trial(Design("causal-lm", str(tmp_path / "a.txt"), "00" * 32, 8), "none", 0)
    reply = carry_out(Order(Job(changed, ()), tmp_path / "run", Running()), {}, lambda _: True)
    assert reply.kind == "failed"
    assert reply.reason is not None
    assert "the data changed" in reply.reason
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_thread_count_stops_the_call(
    task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial,) = trials(task, "none", steps=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CausalLM, "evaluate", lambda *_: 1 / 0)
        Faults(patch, 20, errno.ENOSPC, lasting=True)
        assert stop_of(serve(trial, tmp_path, task))
    folder = RunFolder(tmp_path)
    assert any("checkpoint" in path.name for path in folder.trial_path(trial).iterdir())
    other = environment("cpu", threads=7)
    monkeypatch.setattr("milepost.comparison.workers.running.environment", lambda device, threads: other)
    stop = stop_of(serve(trial, tmp_path, task))
    assert stop.code == "MP107"
    assert "7 here" in stop.got


def fork(work: Callable[[], None]) -> int:
    """Do some work in a child that has all imports; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


@pytest.fixture
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has no other threads
    yield
    torch.set_num_threads(threads)


@POSIX
@pytest.mark.crash
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_twenty_random_moments_two_workers_end_with_the_same_bytes(
    task: CausalLM, tmp_path: Path, one_thread: None
) -> None:
    wanted, run = trials(task, "shape", "learned", "t5", steps=20), tmp_path / "run"

    def work(folder: Path, order: list[Trial]) -> None:
        while waiting := [reply for t in order if (reply := serve(t, folder, task)).kind != "finished"]:
            assert {reply.kind for reply in waiting} == {"held"}, waiting
            time.sleep(0.01)

    begin = time.monotonic()
    work(tmp_path / "whole", wanted)
    seconds = time.monotonic() - begin
    dice, kills = random.Random(5), 0
    for _ in range(20):
        children = [fork(lambda: work(run, wanted)), fork(lambda: work(run, wanted[::-1]))]
        time.sleep(dice.uniform(0, seconds / 6))
        for child in children:
            os.kill(child, signal.SIGKILL)
            kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    work(run, wanted)
    assert kills > 10
    assert left(run) == left(tmp_path / "whole")
    for trial in wanted:
        assert events(run, trial).count("finished") == 1
        assert events(run, trial).count("begun") <= kills


CALL = """
import sys
from milepost.api.compare import compare
from milepost.comparison import Model, Training
compare(encodings="learned,shape,alibi", train_length=8, lengths=(4, 8, 16), seeds=2, workers=2, out=sys.argv[1],
        layers=1, dim=16, heads=2, steps=1000, batch=4, checkpoint_seconds=0.2)
"""


def lasting(folder: Path) -> tuple[Any, Tree]:
    """What is promised to be the same of a call that was never killed and of one that was, again and again."""
    result = json.loads((folder / "result.json").read_text())
    del result["environment"]
    for trial in result["trials"]:
        del trial["measured"]
    return result, left(folder)


@POSIX
@pytest.mark.crash
@pytest.mark.slow
def test_a_call_killed_at_twenty_random_moments_ends_with_the_same_result(tmp_path: Path) -> None:
    def call(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", CALL, str(folder)])

    assert call(tmp_path / "whole").wait() == 0
    wanted, dice, kills, folders = lasting(tmp_path / "whole"), random.Random(7), 0, itertools.count()
    run = tmp_path / f"run-{next(folders)}"
    while kills < 20:
        with call(run) as parent:
            journal = run / "journal.jsonl"
            before = journal.stat().st_size if journal.exists() else 0
            early = time.monotonic() + (dice.uniform(0, 10) if dice.random() < 0.2 else 1e9)
            while (not journal.exists() or journal.stat().st_size == before) and time.monotonic() < early:
                if parent.poll() is not None:
                    break
                time.sleep(0.01)
            time.sleep(dice.uniform(0, 1.5))
            if parent.poll() is None:
                listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
                target = dice.choice([parent.pid, *map(int, listed.split())])
                os.kill(target, signal.SIGKILL)
                kills += 1
                time.sleep(dice.uniform(0, 1))
                parent.kill()
        if (run / "result.json").exists():
            assert lasting(run) == wanted
            run = tmp_path / f"run-{next(folders)}"
    assert call(run).wait() == 0
    assert lasting(run) == wanted
