from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from milepost.cli import progress as module
from milepost.cli.progress import StageProgress, TrialProgress
from milepost.comparison.design import Design, Training, Trial
from milepost.comparison.plan import Job, Plan, Progress

NEWS = [("loading", 0, 0), ("tile", 0, 4), ("tile", 1, 4), ("tile", 2, 4), ("mean", 2, 4), ("mean", 4, 4)]


def show(*, quiet: bool = False) -> None:
    with StageProgress(quiet=quiet) as progress:
        for one in NEWS:
            progress.update(*one)


def test_off_a_terminal_each_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    assert capsys.readouterr() == ("", "loading\ntile (0 of 4)\nmean (2 of 4)\n")


def test_on_a_terminal_there_is_one_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "mean" in shown.err
    assert "100%" in shown.err


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show(quiet=True)
    assert capsys.readouterr() == ("", "")


DESIGN = Design("causal-lm", "x.txt", "0" * 64, 8, training=Training(steps=10))


def trials(first: int, last: int) -> tuple[Trial, ...]:
    return tuple(Trial(DESIGN, "none", seed) for seed in range(first, last))


def plan(whole: tuple[Trial, ...], *missing: Trial) -> Plan:
    return Plan(Path("run"), whole, tuple(Job(trial, (8,)) for trial in missing))


def finish(progress: TrialProgress, *done: Trial) -> None:
    for trial in done:
        progress.update(Progress(trial, 5))
        progress.update(Progress(trial, 10, finished=True))


def test_plans_that_follow_are_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    with TrialProgress(quiet=False) as progress:
        progress.plan(plan(trials(0, 3), *trials(1, 3)))
        finish(progress, *trials(1, 3))
        progress.plan(plan(trials(0, 4), *trials(3, 4)))
        finish(progress, *trials(3, 4))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["1 of 3 trials are in run already", "training 2 trials"]
    assert [line.split(" ·")[0] for line in lines[2:4]] == ["1/2 trials", "2/2 trials"]
    assert lines[4] == "training 1 more trial"
    assert lines[5].startswith("3/3 trials · ")
    assert len(lines) == 6


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal that keeps what was shown; bars are drawn on it when they are asked to be."""
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, _environ={})
    columns = TextColumn("{task.description}", markup=False), TextColumn("{task.completed}/{task.total}")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(module, "_make_bar", lambda width: Bar(*columns, console=console, auto_refresh=False))
    return screen


def shown(progress: TrialProgress) -> list[tuple[str, float, float | None]]:
    return [(task.description, task.completed, task.total) for task in progress._bar.tasks]


def test_the_bar_grows_with_each_plan(terminal: io.StringIO) -> None:
    with TrialProgress(quiet=False) as progress:
        progress.plan(plan(trials(0, 2), *trials(0, 2)))
        bar = progress._bar
        finish(progress, *trials(0, 2))
        assert shown(progress) == [("2/2 trials", 20, 20)]
        progress.plan(plan(trials(0, 3), *trials(2, 3)))
        assert progress._bar is bar
        assert shown(progress) == [("2/3 trials", 20, 30)]


def test_live_shows_each_trial_that_runs_and_none_that_has_ended(terminal: io.StringIO) -> None:
    one, other = trials(0, 2)
    with TrialProgress(quiet=False, live=True) as progress:
        progress.plan(plan((one, other), one, other))
        progress.update(Progress(one, 4))
        progress.update(Progress(other, 1))
        assert shown(progress)[1:] == [
            ("none, seed 0, step 4 of 10", 4, 10),
            ("none, seed 1, step 1 of 10", 1, 10),
        ]
        finish(progress, one)
        assert [line for line, _, _ in shown(progress)] == ["1/2 trials", "none, seed 1, step 1 of 10"]


def test_a_trial_that_ended_badly_is_not_called_done(terminal: io.StringIO) -> None:
    (one,) = trials(0, 1)
    end = Progress(one, 10, finished=True, failure="diverged: the training loss is not a number")
    with TrialProgress(quiet=False) as progress:
        progress.plan(plan((one,), one))
        progress.update(end)
    assert ": diverged: the training loss is not a number" in terminal.getvalue()


def test_off_a_terminal_a_divergence_is_said_too(capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = trials(0, 1)
    with TrialProgress(quiet=False) as progress:
        progress.plan(plan((one,), one))
        progress.update(Progress(one, 10, finished=True, failure="diverged: no number"))
    assert capsys.readouterr().err.rstrip().endswith("none, seed 0: diverged: no number")


def test_live_off_a_terminal_is_a_line_a_trial(capsys: pytest.CaptureFixture[str]) -> None:
    with TrialProgress(quiet=False, live=True) as progress:
        progress.plan(plan(trials(0, 1), *trials(0, 1)))
        finish(progress, *trials(0, 1))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_notes_on_the_data_are_shown_once_before_the_first_plan(capsys: pytest.CaptureFixture[str]) -> None:
    first, more = (Plan(Path("run"), trials(0, n), (Job(Trial(DESIGN, "none", n), (8,)),), notes=("few prompts.",)) for n in (1, 2))  # fmt: skip
    with TrialProgress(quiet=False) as progress:
        progress.plan(first)
        progress.plan(more)
    assert capsys.readouterr().err.count("note: few prompts.") == 1
    with TrialProgress(quiet=True) as progress:
        progress.plan(first)
    assert capsys.readouterr().err == ""
