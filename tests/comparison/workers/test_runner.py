from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.plan import Job, Progress
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.workers.runner import run_jobs
from milepost.comparison.workers.running import Running
from milepost.errors import TrialFailed
from milepost.tasks import CausalLM, Options


@pytest.fixture(scope="module")
def design() -> Design:
    data = "builtin:python-docs"
    sha256 = CausalLM.open(data, Options()).sha256
    size = Model(layers=1, dim=16, heads=2)
    return Design("causal-lm", data, sha256, 8, model=size, training=Training(steps=600, batch=2))


def ignore(_: Progress) -> None:
    pass


def children() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return list(map(int, found))


def run(jobs: list[Job], folder: RunFolder, on_progress: Callable[[Progress], None]) -> dict[Trial, str]:
    return run_jobs(jobs, folder.path, Running(workers=1, checkpoint_seconds=0.05), on_progress)


@pytest.mark.crash
def test_a_trial_whose_worker_is_killed_is_taken_up_again_once(design: Design, tmp_path: Path) -> None:
    folder, notes, killed = RunFolder(tmp_path / "run"), list[str](), list[int]()
    trial = Trial(design, "none", 0)

    def kill(progress: Progress) -> None:
        notes.extend([progress.note] if progress.note else [])
        if progress.steps and not progress.finished:
            killed.append(children()[-1])
            os.kill(killed[-1], signal.SIGKILL)

    failures = run([Job(trial, (8,))], folder, kill)
    assert failures == {trial: "its process died: killed by signal 9"}
    assert notes == ["its process died (killed by signal 9); it is taken up again"]
    assert folder.read_record(trial) is None
    past = folder.journal.read().past(trial.key())
    assert (past.failures, past.reason) == (0, None)  # no fault of the trial: the next call goes on


@pytest.mark.crash
def test_two_calls_share_the_trials_and_one_takes_over_what_the_other_leaves(
    design: Design, tmp_path: Path
) -> None:
    folder, left, seen = RunFolder(tmp_path / "run"), list[Trial](), list[int]()
    trials = [Trial(design, name, seed) for seed in range(2) for name in ("none", "alibi", "shape")]
    jobs = [Job(trial, (8,)) for trial in trials]

    def leave(progress: Progress) -> None:
        if progress.steps and not progress.finished:
            seen.extend(children())
            left.append(progress.trial)
            raise KeyboardInterrupt

    other: list[dict[Trial, str]] = []
    staying = threading.Thread(target=lambda: other.append(run(jobs, folder, ignore)))
    staying.start()
    with pytest.raises(KeyboardInterrupt):
        run(jobs, folder, leave)
    assert len(set(seen) & set(children())) <= 1  # no worker of this call is left running
    staying.join()
    assert other == [{}]
    assert children() == []
    entries = folder.journal.read().entries
    assert len({entry["process"] for entry in entries if entry["event"] == "begun"}) == 2
    for trial in trials:
        events = [entry["event"] for entry in entries if entry["trial"] == trial.key()]
        assert events.count("begun") == 1
        assert events.count("resumed") == (trial == left[0])
        assert events.count("finished") == 1
        assert folder.read_record(trial)["status"] == "done"  # type: ignore[index]


def test_workers_that_cannot_start_are_one_clear_error(
    design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "broken"))
    (tmp_path / "broken").write_text("#!/bin/sh\necho 'no such module' >&2\nexit 3\n")
    (tmp_path / "broken").chmod(0o700)
    with pytest.raises(TrialFailed, match="exit code 3, no such module"):
        run_jobs([Job(Trial(design, "none", 0), (8,))], tmp_path, Running(workers=1), ignore)
