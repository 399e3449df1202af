"""Progress: a bar with the time left on a terminal, a line a trial or a stage elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from milepost.comparison import Plan, Progress, Trial

_BAR_WIDTH, _LIVE_WIDTH = 40, 16  # beside a long name of an encoding there is less room


class TrialProgress:
    """Shows trials as they run, and says what is kept when they are interrupted.

    It may be told of several plans, one after another: what they have to do is added up.

    Args:
        quiet: show nothing but what an interruption leaves behind.
        live: on a terminal, show each trial that runs on a line of its own.
    """

    folder: Path

    def __init__(self, *, quiet: bool, live: bool = False) -> None:
        self._quiet, self._live = quiet, live
        self._animated = sys.stderr.isatty() and not quiet
        self._steps: dict[Trial, int] = {}
        self._finished = self._to_do = self._all_steps = 0
        self._begin: float | None = None
        self._bar: Any = None
        self._lines: dict[Trial, Any] = {}

    def __enter__(self) -> TrialProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._to_do:
            kept = f"{self._finished} of {self._to_do} trials of this call are finished and kept in {self.folder}"
            click.echo(f"{kept}; the same command continues", err=True)

    def plan(self, plan: Plan) -> None:
        """Say what is to do, or what has been added."""
        self.folder = plan.folder
        first, self._begin = self._begin is None, self._begin or time.monotonic()
        self._to_do += len(plan.jobs)
        self._all_steps += sum(job.trial.design.training.steps for job in plan.jobs)
        if self._quiet:
            return
        for remark in plan.remarks:
            self._say(remark)
        if first:
            for note in plan.notes:
                self._say(f"note: {note}")
            self._say_what_is_there(plan)
        if plan.jobs and self._animated:
            self._show_bar()
        elif plan.jobs:
            what = "trial" if len(plan.jobs) == 1 else "trials"
            click.echo(f"training {len(plan.jobs)} {'' if first else 'more '}{what}", err=True)

    def _say_what_is_there(self, plan: Plan) -> None:
        done = len(plan.trials) - len(plan.jobs) - len(plan.failures)
        if done:
            self._say(f"{done} of {len(plan.trials)} trials are in {plan.folder} already")
        if plan.failures:
            self._say(f"failed before: {len(plan.failures)}; --retry-failed runs what failed again")

    def _show_bar(self) -> None:
        if self._bar is None:
            self._bar = _make_bar(_LIVE_WIDTH if self._live else _BAR_WIDTH)
            self._bar.start()
            self._task = self._bar.add_task(self._headline())
        self._bar.update(self._task, total=self._all_steps, description=self._headline())

    def _headline(self) -> str:
        return f"{self._finished}/{self._to_do} trials"

    def update(self, progress: Progress) -> None:
        """Take one piece of news."""
        trial = progress.trial
        if progress.note is not None:
            if not self._quiet:
                self._say(f"{trial.encoding}, seed {trial.seed}: {progress.note}")
            return
        self._steps[trial] = progress.steps
        self._finished += progress.finished
        if self._bar is not None:
            done = sum(self._steps.values())
            self._bar.update(self._task, completed=done, description=self._headline())
            if self._live:
                self._show_trial(progress)
            if progress.failure:
                self._say(f"{trial.encoding}, seed {trial.seed}: {progress.failure}")
        elif progress.finished and not self._quiet:
            what = progress.failure or "done"
            seconds = time.monotonic() - (self._begin or 0.0)
            click.echo(
                f"{self._headline()} · {seconds:4.0f} s · {trial.encoding}, seed {trial.seed}: {what}",
                err=True,
            )

    def _show_trial(self, progress: Progress) -> None:
        """One line for a trial that runs, and none for one that has ended."""
        trial, total = progress.trial, progress.trial.design.training.steps
        if progress.finished:
            if trial in self._lines:
                self._bar.remove_task(self._lines.pop(trial))
            return
        if trial not in self._lines:
            self._lines[trial] = self._bar.add_task("", total=total)
        words = f"{trial.encoding}, seed {trial.seed}, step {progress.steps} of {total}"
        self._bar.update(self._lines[trial], completed=progress.steps, description=words)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.print(text, markup=False)
        else:
            click.echo(text, err=True)


class StageProgress:
    """Shows stages of one work, each of as many steps: a bar on a terminal, a line a stage elsewhere.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._what = ""

    def __enter__(self) -> StageProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, what: str, done: int, total: int) -> None:
        """Take the news that ``done`` of ``total`` steps are done, the last of them in the stage ``what``."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = _make_bar()
                self._bar.start()
                self._task = self._bar.add_task("")
            self._bar.update(self._task, completed=done, total=total or None, description=what)
        elif what != self._what:
            click.echo(f"{what} ({done} of {total})" if total else what, err=True)
        self._what = what


def _make_bar(width: int = _BAR_WIDTH) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(width),
        TextColumn("{task.percentage:>3.0f}%"),
    )
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
