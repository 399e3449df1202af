"""The training loop: one table, windows at random offsets, stop when held-out documents gain nothing more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from milepost.errors import OptionError, TrialFailed
from milepost.tuning.subject import Subject
from milepost.tuning.training.checkpoint import TuningProgress, TuningState
from milepost.tuning.training.split_table import SplitTable, find_parameter
from milepost.tuning.training.windows import Batch, Span, draw_batch, window_losses

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

_TRAIN, _STOP = 0, 1  # first words of the seeds: batches of training and of measuring never coincide
_STOP_BATCHES = 8
_WARM_UP = 0.05
_MOMENTS = "optimizer."


@dataclass(frozen=True)
class Recipe:
    """How rows are trained.

    Args:
        steps: of the optimiser, at most.
        batch: windows a step.
        lr: highest learning rate of AdamW: about the most by which a value moves in a step. It rises over 5 % of the steps,
            then falls in a line to zero. After a measurement that is no new best, training goes back to the best rows at a
            quarter of the rate; after a new best the rate doubles, up to ``lr``. A rate that is too high for a model costs steps and
            not the result.
        weight_decay: of AdamW, on the trained rows.
        every: steps between two measurements on held-out documents, at each of which the state is written.
        patience: measurements without a new best after which training stops; twice as many while nothing was better than the
            beginning, so that lower rates are tried.
        seed: of windows, offsets and masks.
        precision: ``float32``, or ``bfloat16`` for the model's products; rows and moments are float32 always.
    """

    steps: int = 500
    batch: int = 4
    lr: float = 1e-3
    weight_decay: float = 0.0
    every: int = 50
    patience: int = 3
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "every", "patience"):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"{name} is at least 1", got=str(getattr(self, name)), fix=f"give 1 {name} or more"
                )
        if not (math.isfinite(self.lr) and self.lr > 0 and self.weight_decay >= 0 and self.seed >= 0):
            raise OptionError(
                "the learning rate is above 0, weight decay and seed at least 0",
                got=f"lr {self.lr}, weight decay {self.weight_decay}, seed {self.seed}",
                fix="leave them out to get the defaults",
            )
        if self.precision not in ("float32", "bfloat16"):
            raise OptionError(
                "invalid value for precision", got=ascii(self.precision)[:40], fix="float32 or bfloat16"
            )

    def learning_rate(self, step: int, scale: float = 1.0) -> float:
        """The rate of one step, times ``scale``.

        >>> [round(Recipe(steps=100, lr=1.0).learning_rate(step), 3) for step in (0, 4, 99)]
        [0.2, 1.0, 0.01]
        >>> Recipe(steps=100, lr=1.0).learning_rate(4, scale=0.25)
        0.25
        """
        rise = max(1, round(_WARM_UP * self.steps))
        return (
            self.lr * scale * min((step + 1) / rise, (self.steps - step) / max(1, self.steps - rise + 1), 1.0)
        )


@dataclass(frozen=True, eq=False)
class Recovered:
    """What training left behind.

    Attributes:
        rows: the whole table, float32, on the host: frozen rows are those that were given.
        counts: in how many windows each trained row was met before the best state.
        progress: all measurements, and where the best was.
    """

    rows: Float[Tensor, "rows dim"]
    counts: Int64[np.ndarray, " tuned"]
    progress: TuningProgress


def recover(
    subject: Subject,
    key: str,
    rows: Float[Tensor, "rows dim"],
    span: Span,
    recipe: Recipe,
    *,
    first_row: int,
    train: Sequence[np.ndarray],
    stop: Sequence[np.ndarray],
    folder: Path,
    on_step: Callable[[int, float], None],
) -> Recovered:
    """Train the rows of a table from ``span.begin`` on, and nothing else.

    Guarantee: rows before it, and all other weights of the model, are in no graph and in no optimiser. With the same arguments
    and threads the same bits, whether in one run or in many that were killed: all that is drawn is a function of seed and step.

    Args:
        subject: the model, in evaluation mode: no dropout. Its parameters are frozen, nothing else is changed.
        key: of the table in the model's file.
        rows: the whole table.
        span: which rows, how many, and windows of what length.
        recipe: how.
        first_row: the row of position 0.
        train: token ids of the documents to train on.
        stop: of those that decide when to stop.
        folder: where the state is kept; one that is there is continued.
        on_step: called after each step with the number of finished ones and the last loss measured.

    Raises:
        TrialFailed: MP140, a loss that is no number. FolderError: MP107, a state that is not what was written.
    """
    name = find_parameter(subject.model, key, rows)
    subject.model.requires_grad_(False)
    begin = first_row + span.begin
    table = SplitTable(rows, begin, first_row=first_row).to(subject.device)
    optimizer = torch.optim.AdamW(table.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    run = _Run(table, optimizer, np.zeros(len(table.tuned), np.int64))
    if (state := TuningState.read(folder)) is not None:
        run.restore(state)
    original = rows.to(subject.device)

    def losses(batch: Batch) -> Tensor:
        with torch.autocast(subject.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            return window_losses(subject, name, table, original, batch)

    def draw(documents: Sequence[np.ndarray], *seed: int) -> Batch:
        return draw_batch(subject, documents, span, recipe.batch, (recipe.seed, *seed))

    held_out = [draw(stop, _STOP, index) for index in range(_STOP_BATCHES)]
    while not run.progress.finished:
        done = run.progress.step
        if run.progress.history:  # before the first step comes a measurement
            last, end = run.progress.history[-1][1], min(done + recipe.every, recipe.steps)
            for step in range(done, end):
                batch = draw(train, _TRAIN, step)
                losses(batch).mean().backward()
                optimizer.param_groups[0]["lr"] = recipe.learning_rate(step, run.progress.scale)
                optimizer.step()
                optimizer.zero_grad()
                _count(run.counts, batch, span, len(subject.prefix))
                on_step(step + 1, last)
            done = end
        run.measured(done, _measure(losses, held_out), recipe)
        run.state().write(folder)
    return Recovered(torch.cat([rows[:begin], run.best.to(rows.dtype)]), run.best_counts, run.progress)


class _Run:
    """What changes while rows are trained, and how it is kept."""

    def __init__(self, table: SplitTable, optimizer: torch.optim.AdamW, counts: np.ndarray) -> None:
        self.table, self.optimizer, self.counts = table, optimizer, counts
        self.progress = TuningProgress()
        self._keep_best()

    def _keep_best(self) -> None:
        self.best, self.best_counts = self.table.tuned.detach().cpu().clone(), self.counts.copy()

    def measured(self, step: int, loss: float, recipe: Recipe) -> None:
        """Take a measurement after ``step`` steps."""
        self.progress = self.progress.measured(step, loss, steps=recipe.steps, patience=recipe.patience)
        if self.progress.best_step == step:
            self._keep_best()
        elif not self.progress.finished:
            self._go_back()

    @torch.no_grad()
    def _go_back(self) -> None:
        """Put the best rows back, with moments from zero: those that led away from them would do so again."""
        self.table.tuned.copy_(self.best)
        self.optimizer.state.clear()
        self.counts = self.best_counts.copy()

    def state(self) -> TuningState:
        """All of it, as it is written."""
        moments = {f"{_MOMENTS}{name}": one for name, one in self.optimizer.state[self.table.tuned].items()}
        counts = {"counts": torch.from_numpy(self.counts), "best_counts": torch.from_numpy(self.best_counts)}
        return TuningState(self.progress, {"rows": self.table.tuned, "best": self.best, **moments, **counts})

    def restore(self, state: TuningState) -> None:
        """Put a state back."""
        with torch.no_grad():
            self.table.tuned.copy_(state.tensors["rows"])
        moments = {
            name.removeprefix(_MOMENTS): one
            for name, one in state.tensors.items()
            if name.startswith(_MOMENTS)
        }
        if moments:
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": {0: moments}, "param_groups": groups})
        self.progress, self.best = state.progress, state.tensors["best"]
        self.counts, self.best_counts = (
            state.tensors[name].numpy().copy() for name in ("counts", "best_counts")
        )


@torch.no_grad()
def _measure(losses: Callable[[Batch], Tensor], batches: Sequence[Batch]) -> float:
    """The mean loss of held-out windows; here, and not at each step, the host waits for the device."""
    found = float(torch.stack([losses(batch).mean() for batch in batches]).mean())
    if not math.isfinite(found):
        raise TrialFailed(
            "training ended in a loss that is no number", got=f"a loss of {found}", fix="a lower --lr"
        )
    return found


def _count(counts: np.ndarray, batch: Batch, span: Span, kept: int) -> None:
    """Count the trained rows that each window reads."""
    for length in batch.lengths:
        first = kept + batch.offset - span.begin if batch.offset else -span.begin
        counts[max(0, first) : max(0, batch.offset + int(length) - span.begin)] += 1
