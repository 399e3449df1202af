"""Further numbers of a task, ``trials[].breakdown``, as tables with a column an encoding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from milepost.reporting.compare_summary import CompareSummary
from milepost.reporting.words import mean

_TO = " → "
Row = tuple[str, list[float | None]]


@dataclass(frozen=True)
class Breakdown:
    """A metric by one kind of label at one length.

    Args:
        title: what is shown: ``accuracy by length``.
        label: what the rows are: ``length``.
        counts: what is counted for each label, where that is known: ``documents``.
        rows: each label with its count and the mean over seeds of each encoding.
    """

    title: str
    label: str
    length: int
    counts: str
    rows: list[tuple[str, float | None, list[float | None]]]


@dataclass(frozen=True)
class Confusion:
    """Mean counts over seeds of what one encoding took each class for, truth by row."""

    title: str
    encoding: str
    length: int
    labels: list[str]
    rows: list[Row]


def read_breakdowns(summary: CompareSummary, length: int) -> list[Breakdown]:
    """All tables at one length but the confusion matrices."""
    means = _means(summary, length)
    metrics = {word for metric in summary.metrics for word in (metric["title"], metric["name"])}
    counts = {title for title in means if title.partition(" by ")[0] not in metrics and _same(means[title])}
    found = []
    for title, by_label in means.items():
        if title in counts or _is_square(by_label):
            continue
        beside = next((t for t in counts if t.partition(" by ")[2] == title.partition(" by ")[2]), None)
        sizes = means[beside] if beside else {}
        rows = [
            (label, next(iter(sizes.get(label, {}).values()), None), [row.get(e) for e in summary.encodings])
            for label, row in by_label.items()
        ]
        label = title.partition(" by ")[2].partition(",")[0] or "part"
        found.append(Breakdown(title, label, length, beside.partition(" by ")[0] if beside else "", rows))
    return found


def read_confusions(summary: CompareSummary, length: int) -> list[Confusion]:
    """The confusion matrices at one length, one an encoding that answers."""
    found = []
    for title, by_label in _means(summary, length).items():
        if not _is_square(by_label):
            continue
        pairs, side = list(by_label), math.isqrt(len(by_label))
        labels = [_own_name(pairs[at * side + at]) for at in range(side)]
        for name in summary.encodings:
            counts = [by_label[pair].get(name) for pair in pairs]
            if any(count is not None for count in counts):
                rows = [(label, counts[at * side : (at + 1) * side]) for at, label in enumerate(labels)]
                found.append(Confusion(title, name, length, labels, rows))
    return found


def _means(summary: CompareSummary, length: int) -> dict[str, dict[str, dict[str, float | None]]]:
    """Means over seeds by title, by label, by encoding."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in summary.encodings:
        for trial in summary.trials_of(name):
            for title, label, value in each_entry(trial, length):
                found.setdefault(title, {}).setdefault(label, {}).setdefault(name, []).append(value)
    return {
        title: {label: {e: mean(v) for e, v in row.items()} for label, row in by_label.items()}
        for title, by_label in found.items()
    }


def each_entry(trial: Mapping[str, Any], length: int) -> Iterator[tuple[str, str, float]]:
    """Title, label and value of every number of a trial's breakdown at one length."""
    for title, by_label in ((trial.get("breakdown") or {}).get(str(length)) or {}).items():
        for label, value in by_label.items():
            if value is not None:
                yield title, label, value


def _same(by_label: Mapping[str, Mapping[str, float | None]]) -> bool:
    """Whether all encodings have the same numbers, as they have for what counts the data."""
    return all(len(set(row.values())) == 1 for row in by_label.values())


def _is_square(by_label: Mapping[str, Any]) -> bool:
    """Whether labels are pairs ``truth → taken for``, in the order of a square matrix."""
    pairs, side = list(by_label), math.isqrt(len(by_label))
    if side < 2 or side**2 != len(pairs):
        return False
    names = [_own_name(pairs[at * side + at]) for at in range(side)]
    return pairs == [f"{one}{_TO}{other}" for one in names for other in names]


def _own_name(pair: str) -> str:
    """The class of a pair on the diagonal."""
    return pair[: (len(pair) - len(_TO)) // 2]
