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


class TrialProgress:
    """Shows trials as they run, and says what is kept when they are interrupted.

    Args:
        quiet: show nothing but what an interruption leaves behind.
    """

    folder: Path

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._animated = sys.stderr.isatty() and not quiet
        self._steps: dict[Trial, int] = {}
        self._finished = 0
        self._to_do = 0
        self._bar: Any = None

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
        """Say what is to do."""
        self.folder = plan.folder
        self._to_do = len(plan.jobs)
        done = len(plan.trials) - len(plan.jobs)
        if self._quiet:
            return
        for remark in plan.remarks:
            click.echo(remark, err=True)
        done -= len(plan.failures)
        if done:
            click.echo(f"{done} of {len(plan.trials)} trials are in {plan.folder} already", err=True)
        if plan.failures:
            click.echo(
                f"{len(plan.failures)} failed before and are left alone; --retry-failed runs them again",
                err=True,
            )
        if plan.jobs and self._animated:
            self._start_bar(sum(job.trial.design.training.steps for job in plan.jobs))
        elif plan.jobs:
            click.echo(f"training {len(plan.jobs)} trials", err=True)
        self._begin = time.monotonic()

    def _start_bar(self, steps: int) -> None:
        self._bar = _make_bar()
        self._bar.start()
        self._task = self._bar.add_task(self._headline(), total=steps)

    def _headline(self) -> str:
        return f"{self._finished}/{self._to_do} trials"

    def update(self, progress: Progress) -> None:
        """Take one piece of news."""
        if progress.note is not None:
            if not self._quiet:
                self._say(f"{progress.trial.encoding}, seed {progress.trial.seed}: {progress.note}")
            return
        self._steps[progress.trial] = progress.steps
        self._finished += progress.finished
        if self._bar is not None:
            self._bar.update(self._task, completed=sum(self._steps.values()), description=self._headline())
        elif progress.finished and not self._quiet:
            trial = progress.trial
            what = progress.failure or "done"
            seconds = time.monotonic() - self._begin
            click.echo(
                f"{self._headline()} · {seconds:4.0f} s · {trial.encoding}, seed {trial.seed}: {what}",
                err=True,
            )

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


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
