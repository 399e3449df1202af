"""What tuning gained: whole held-out documents with the rows of before and of after, position by position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from milepost.statistics import (
    PairedDifference,
    apply_holm,
    judge_difference,
    measure_difference,
    or_none,
)
from milepost.tuning.subject import Subject, choose_masks
from milepost.tuning.training.split_table import SplitTable
from milepost.tuning.training.windows import Batch, Span, distances, make_batch, run_windows

if TYPE_CHECKING:
    from jaxtyping import Float

FEWEST: Final = 3
"""Documents below which nothing is called better or worse."""
_PARTS = 4
_SEED = 2  # training and stopping have seeds of their own
_NAMES = {"too_few": "too_few_documents", "better": "better", "worse": "worse"}
_METRICS = {"loss": "lower", "distance": "lower", "agreement": "higher"}

Key: TypeAlias = tuple[str, int, int]
Values = dict[Key, float]
Table: TypeAlias = "Float[Tensor, 'rows dim']"


@dataclass(frozen=True, eq=False)
class Gauge:
    """What is measured of a document, whichever rows the table has.

    For language models ``loss``, in nats a token, the document read in one pass. For embedding models ``agreement``, the cosine of
    the embedding of the whole document with the mean of the original's embeddings of its parts, and ``distance``: for each part
    at its place in the document, the relative squared distance of its hidden states from those of the part by itself.

    Args:
        subject: the model.
        name: of the parameter that holds the table.
        original: the rows before tuning.
        first_row: the row of position 0.
        span: what was tuned.
        trained: positions that were trained before.
    """

    subject: Subject
    name: str
    original: Table
    first_row: int
    span: Span
    trained: int

    @property
    def first(self) -> Key:
        """The one thing that decides whether tuning helped."""
        if self.subject.kind == "embedding":
            return "agreement", 0, self.span.length
        return "loss", self.span.begin, self.span.length

    def ranges(self) -> list[tuple[int, int]]:
        """Ranges of positions: those trained before, and the others in four parts."""
        old = self.trained if self.trained < self.span.length else 0
        edges = np.linspace(old, self.span.length, _PARTS + 1).round().astype(int).tolist()
        return [(0, old)] * bool(old) + list(pairwise(edges))

    def measure(self, tables: Sequence[Table], tokens: np.ndarray, index: int) -> list[Values]:
        """Everything of one document, with each of the tables; ranges that it does not reach are left out."""
        tokens = tokens[: self.subject.room(self.span.length)]
        if self.subject.kind == "embedding":
            return self._embedding(tables, tokens)
        front = len(self.subject.prefix)
        parts = [(max(0, begin - front), min(len(tokens), end - front)) for begin, end in self.ranges()]
        masked = None
        if self.subject.kind == "masked-lm":
            masked = choose_masks(len(tokens), [part for part in parts if part[0] < part[1]], [_SEED, index])
        found = []
        for rows in tables:
            with rows_in(self.subject.model, self.name, rows):
                losses = self.subject.losses(tokens, masked=masked)
            positions = np.arange(len(tokens)) + front
            found.append(_by_range(positions, losses, {*self.ranges(), self.first[1:]}, "loss"))
        return found

    def _embedding(self, tables: Sequence[Table], tokens: np.ndarray) -> list[Values]:
        room, front = self.subject.room(self.span.window), len(self.subject.prefix)
        parts = [tokens[at : at + room] for at in range(0, len(tokens), room)]
        batches = [make_batch(self.subject, [part], place * room, [0]) for place, part in enumerate(parts)]
        with rows_in(self.subject.model, self.name, self.original):
            mean = np.mean([self.subject.embed(part) for part in parts], axis=0)
        wanted = [self._states(self.original, batch) for batch in batches]
        positions = np.arange(len(tokens)) + front
        found = []
        for rows in tables:
            with rows_in(self.subject.model, self.name, rows):
                whole = self.subject.embed(tokens)
            table = SplitTable(rows, len(rows), first_row=self.first_row)
            states = [self._states(table.window(batch.offset, kept=front), batch) for batch in batches]
            far = [
                distances(one, goal)[front : front + len(part)].double().cpu().numpy()
                for one, goal, part in zip(states, wanted, parts, strict=True)
            ]
            agreement = {self.first: float(whole @ mean / np.linalg.norm(mean))}
            found.append(agreement | _by_range(positions, np.concatenate(far), self.ranges(), "distance"))
        return found

    @torch.no_grad()
    def _states(self, rows: Table, batch: Batch) -> Tensor:
        return run_windows(self.subject, self.name, rows.to(self.subject.device), batch)


def _by_range(
    positions: np.ndarray, values: np.ndarray, ranges: Iterable[tuple[int, int]], metric: str
) -> Values:
    """Means of what is known within each range."""
    found = {}
    for begin, end in ranges:
        inside = values[(positions >= begin) & (positions < end)]
        known = inside[~np.isnan(inside)]
        if len(known):
            found[metric, begin, end] = float(known.mean())
    return found


@contextmanager
def rows_in(model: nn.Module, name: str, rows: Table) -> Iterator[None]:
    """The model with other rows in its table, for as long as the context lasts."""
    parameter = model.get_parameter(name)
    held = parameter.detach().clone()
    try:
        parameter.data.copy_(rows)
        yield
    finally:
        parameter.data.copy_(held)


def measure_gains(
    gauge: Gauge,
    rows: Table,
    documents: Sequence[np.ndarray],
    on_document: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """What tuning changed, with paired 95 % intervals over documents; what decides comes first.

    The others are corrected for their number by Holm's method; what decides was chosen before anything was measured, and stands by
    itself.

    Args:
        gauge: what is measured.
        rows: the table after tuning; before it was ``gauge.original``.
        documents: held out of training and of stopping.
        on_document: called with the number of measured documents and of all.

    Returns:
        The ``gains`` of ``schemas/tune.json``.
    """
    pairs: dict[Key, list[tuple[float, float]]] = {}
    for index, tokens in enumerate(documents):
        before, after = gauge.measure((gauge.original, rows), tokens, index)
        for key, value in before.items():
            pairs.setdefault(key, []).append((value, after[key]))
        on_document(index + 1, len(documents))
    others = sorted(pairs.keys() - {gauge.first})
    values = {key: np.array(pairs[key]).T for key in (gauge.first, *others) if key in pairs}
    found = {key: measure_difference(after - before) for key, (before, after) in values.items()}
    first, *rest = [difference.p for difference in found.values()]
    adjusted = dict(zip(found, [first, *apply_holm(rest).tolist()], strict=True))
    return [_claim(key, values[key], found[key], adjusted[key]) for key in found]


def _claim(key: Key, values: np.ndarray, found: PairedDifference, p_adjusted: float) -> dict[str, Any]:
    (before, after), (metric, begin, end) = values, key
    better = _METRICS[metric]
    verdict = judge_difference(found, p_adjusted, higher_is_better=better == "higher", fewest=FEWEST)
    return {
        "metric": metric, "better": better, "positions": [begin, end], "documents": found.n,
        "before": float(before.mean()), "after": float(after.mean()), "difference": found.mean,
        "low": or_none(found.low), "high": or_none(found.high), "p": or_none(found.p),
        "p_adjusted": or_none(p_adjusted), "verdict": _NAMES.get(verdict, "undecided"),
    }  # fmt: skip
