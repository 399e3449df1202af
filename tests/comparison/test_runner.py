from __future__ import annotations

import os
import signal
from collections.abc import Callable
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
    return Design("causal-lm", data, sha256, 8, model=size, training=Training(steps=600, batch=2))


def ignore(_: Progress) -> None:
    pass


def children() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return list(map(int, found))


def run(jobs: list[Job], folder: RunFolder, on_progress: Callable[[Progress], None]) -> dict[Trial, str]:
    return run_jobs(
        jobs, folder.path, workers=1, device="cpu", on_progress=on_progress, checkpoint_seconds=0.05
    )


@pytest.mark.crash
def test_a_trial_whose_worker_is_killed_is_taken_up_again_once(design: Design, tmp_path: Path) -> None:
    folder, notes = RunFolder(tmp_path / "run"), list[str]()
    doomed, spared = (Trial(design, name, 0) for name in ("none", "alibi"))
    killed: list[Trial] = []

    def kill(progress: Progress) -> None:
        notes.extend([progress.note] if progress.note else [])
        trial = progress.trial
        if progress.steps and not progress.finished and trial == doomed and len(killed) < 2:
            killed.append(trial)
            os.kill(children()[-1], signal.SIGKILL)

    failures = run([Job(doomed, (8,)), Job(spared, (8,))], folder, kill)
    assert failures == {doomed: "its process died: killed by signal 9"}
    assert folder.read_record(doomed) is None
    assert folder.read_record(spared)["status"] == "done"  # type: ignore[index]
    assert notes == ["its process died (killed by signal 9); it is taken up again"]
    # a death is no failure that is remembered: the next call goes on from the checkpoint
    assert run([Job(doomed, (8,))], folder, ignore) == {}
    events = [entry["event"] for entry in folder.journal.read().entries if entry["trial"] == doomed.key()]
    assert events[0] == "begun"
    assert events[-1] == "finished"
    assert "failed" not in events


@pytest.mark.crash
def test_no_worker_is_left_running_when_the_caller_stops(design: Design, tmp_path: Path) -> None:
    seen: list[int] = []

    def interrupt(progress: Progress) -> None:
        seen.extend(children())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(
            [Job(Trial(design, "none", 0), (8,))], tmp_path, workers=1, device="cpu", on_progress=interrupt
        )
    assert seen
    assert not set(seen) & set(children())


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
