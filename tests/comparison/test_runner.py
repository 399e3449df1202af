from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.folder import RunFolder
from milepost.comparison.runner import Job, Progress, run_jobs
from milepost.errors import TrialFailed
from milepost.tasks import CausalLM, Options


@pytest.fixture(scope="module")
def design() -> Design:
    data = "builtin:python-docs"
    sha256 = CausalLM.open(data, Options()).sha256
    size = Model(layers=1, dim=16, heads=2)
    return Design("causal-lm", data, sha256, 8, model=size, training=Training(steps=300, batch=2))


def ignore(_: Progress) -> None:
    pass


@pytest.mark.crash
def test_a_worker_that_is_killed_takes_only_its_own_trial_with_it(design: Design, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    killed: list[Trial] = []

    def kill_the_first(progress: Progress) -> None:
        if not killed and not progress.finished:
            killed.append(progress.trial)
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)

    jobs = [Job(Trial(design, name, 0), (8,)) for name in ("none", "alibi")]
    failures = run_jobs(jobs, folder.path, workers=1, device="cpu", on_progress=kill_the_first)
    assert failures == {killed[0]: "its process died: killed by signal 9"}
    assert folder.read_record(jobs[0].trial) is None
    assert folder.read_record(jobs[1].trial)["status"] == "done"  # type: ignore[index]


@pytest.mark.crash
def test_no_worker_is_left_running_when_the_caller_stops(design: Design, tmp_path: Path) -> None:
    seen: list[int] = []

    def interrupt(progress: Progress) -> None:
        seen.extend(map(int, Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(
            [Job(Trial(design, "none", 0), (8,))], tmp_path, workers=1, device="cpu", on_progress=interrupt
        )
    assert seen
    left = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert not set(seen) & set(map(int, left))


def test_workers_that_cannot_start_are_one_clear_error(
    design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "broken"))
    (tmp_path / "broken").write_text("#!/bin/sh\necho 'no such module' >&2\nexit 3\n")
    (tmp_path / "broken").chmod(0o700)
    with pytest.raises(TrialFailed, match="exit code 3, no such module"):
        run_jobs([Job(Trial(design, "none", 0), (8,))], tmp_path, workers=1, device="cpu", on_progress=ignore)


def test_data_that_changed_since_is_the_reason_of_the_failure(design: Design, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc " * 500)
    changed = Design(
        "causal-lm", str(tmp_path / "a.txt"), "00" * 32, 8, model=design.model, training=Training(steps=2)
    )
    job = Job(Trial(changed, "none", 0), (8,))
    failures = run_jobs([job], tmp_path / "run", workers=1, device="cpu", on_progress=ignore)
    assert "the data changed" in failures[job.trial]
    assert not (tmp_path / "run").exists()
