"""The figures of a ``compare`` report, drawn from its summary alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from milepost.reporting.summary import CompareSummary, number
from milepost.reporting.svg import (
    ACCENT,
    MUTED,
    PAPER,
    SERIES,
    new_figure,
    own_settings,
    series_colour,
    stand_in,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_MARKERS = "os^DvPX*"
_DASHES = ((), (5, 1.5), (1.2, 1.2), (7, 1.5, 1.2, 1.5), (3, 1), (9, 2), (4, 1, 1, 1, 1, 1), (1, 2))
_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 860.0, 84.0, 200.0, 30.0, 320.0
_LABEL_GAP = 16.0
_LONGEST_LABEL = 22
_SEEDS_ASIDE = 9.0
_MOST_BINS = 48


@dataclass(frozen=True)
class Drawing:
    """A finished figure and, where it is one of several, what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Line:
    """One encoding in a figure; a value that is not finite breaks the line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: Sequence[tuple[float, float]] = ()
    no_answer: Sequence[float] = ()


def groups_of(encodings: Sequence[str], baseline: str) -> list[list[str]]:
    """Split encodings into charts of at most eight lines, the baseline first in each.

    >>> [len(group) for group in groups_of([str(n) for n in range(10)], "0")]
    [8, 3]
    """
    others = [name for name in encodings if name != baseline]
    step = SERIES - 1
    return [[baseline, *others[start : start + step]] for start in range(0, max(len(others), 1), step)]


def loss_by_length(summary: CompareSummary) -> list[Drawing]:
    """Mean loss against evaluation length, one dot a seed, the trained length marked."""
    drawings = []
    for index, group in enumerate(groups_of(summary.encodings, summary.spec["baseline"])):
        lines = []
        for name in group:
            means = [summary.loss(name, n) for n in summary.lengths]
            dots = [(n, loss) for n in summary.lengths for _, loss in summary.losses(name, n)]
            missing = [n for n in summary.lengths if summary.undefined(name, n)]
            lines.append(Line(name, summary.lengths, [_or_nan(v) for v in means], dots, missing))
        drawings.append(
            _lines(
                lines,
                key=f"length-{index}",
                title="Mean loss by length",
                axis="evaluation length (tokens)",
                ticks=summary.lengths,
                trained=summary.spec["train_length"],
            )
        )
    return drawings


def loss_by_position(summary: CompareSummary) -> list[Drawing]:
    """Mean loss against the number of visible tokens, at the longest length each encoding answers."""
    curves = {name: summary.by_position(name) for name in summary.encodings}
    longest = max((len(curve) for curve in curves.values()), default=0)
    if longest < 2:
        return []
    trained = summary.spec["train_length"]
    edges = position_edges(longest, trained)
    drawings = []
    for index, group in enumerate(groups_of(summary.encodings, summary.spec["baseline"])):
        lines = []
        for name in group:
            binned = bins(curves[name], edges)
            ends = len(curves[name])
            missing = [ends, longest] if 0 < ends < longest else []
            lines.append(Line(name, [x for x, _ in binned], [y for _, y in binned], (), missing))
        drawings.append(
            _lines(
                lines,
                key=f"position-{index}",
                title="Mean loss by position",
                axis="position in the text (1 = the first prediction)",
                ticks=[2**power for power in range(int(math.log2(longest)) + 1)],
                trained=trained,
            )
        )
    return drawings


def position_edges(longest: int, trained: int) -> list[int]:
    """First positions of bins that widen with the position, and one past the last.

    Positions count from 1. No bin lies across the end of the trained length.

    >>> position_edges(4, trained=2)
    [1, 2, 3, 4, 5]
    """
    edges = {round(edge) for edge in np.geomspace(1, longest + 1, _MOST_BINS + 1).tolist()}
    return sorted(edges | {trained + 1} if trained < longest else edges)


def bins(curve: Sequence[float], edges: Sequence[int]) -> list[tuple[float, float]]:
    """Average a curve over bins, as far as it reaches, into pairs ``(middle position, mean)``.

    >>> bins([3.0, 2.0, 1.0], [1, 2, 4, 6])
    [(1.0, 3.0), (2.5, 1.5)]
    """
    found = []
    for start, stop in pairwise(edges):
        values = [value for value in curve[start - 1 : stop - 1] if math.isfinite(value)]
        if values:
            found.append(((start + stop - 1) / 2, sum(values) / len(values)))
    return found


def learned_table(name: str, picture: Mapping[str, Any], index: int) -> Drawing:
    """The cosine similarity of all pairs of rows, and the norm of each row."""
    cosine = np.array([[_or_nan(value) for value in row] for row in picture["cosine"]], dtype=float)
    norms = np.array([_or_nan(value) for value in picture["norms"]], dtype=float)
    rows = picture["rows"]
    with own_settings():
        height = 306.0
        figure = new_figure(_WIDTH, height)
        square = cosine_square(figure, cosine, rows, "row", height)
        profile = figure.add_axes((440 / _WIDTH, 42 / height, 400 / _WIDTH, 240 / height))
        at = np.linspace(0, rows - 1, len(norms)) if len(norms) else norms
        profile.plot(at, norms, color=ACCENT, marker="o", markersize=3.5, linewidth=1.2, clip_on=False)
        profile.set(xlabel="row", ylabel="norm of the row", xlim=(0, max(rows - 1, 1)))
        profile.set_ylim(bottom=0)
        for axes in (square, profile):
            axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        svg = to_svg(
            figure,
            key=f"table-{index}",
            title=f"The learned table of {name}",
            description=_describe_table(cosine, norms, rows),
        )
    return Drawing(svg, name)


def cosine_square(figure: FigureBase, cosine: np.ndarray, rows: int, unit: str, height: float) -> Axes:
    """Draw a similarity map of ``rows`` rows on the left of a figure so many pixels high, its scale beside it."""
    import matplotlib

    square = figure.add_axes((52 / _WIDTH, 42 / height, 240 / _WIDTH, 240 / height))
    image = square.imshow(
        cosine,
        cmap=matplotlib.colormaps["RdBu_r"],
        vmin=-1,
        vmax=1,
        interpolation="none",
        extent=(-0.5, rows - 0.5, rows - 0.5, -0.5),
    )
    square.set(xlabel=unit, ylabel=unit)
    square.grid(False)
    bar = figure.add_axes((306 / _WIDTH, 42 / height, 12 / _WIDTH, 240 / height))
    scale = figure.colorbar(image, cax=bar, ticks=[-1, 0, 1])
    scale.ax.set_title("cosine", color=MUTED, fontsize=12, loc="left", pad=8)
    scale.outline.set_visible(False)
    return square


def _describe_table(cosine: np.ndarray, norms: np.ndarray, rows: int) -> str:
    parts = [f"{rows} rows."]
    if len(cosine) > 1:
        near = float(np.nanmean(np.diagonal(cosine, 1)))
        far = float(np.nanmean(np.diagonal(cosine, len(cosine) // 2)))
        parts.append(
            f"Mean cosine of neighbours {number(near, 2)}, of rows half a table apart {number(far, 2)}."
        )
    if len(norms):
        low, high = float(np.nanmin(norms)), float(np.nanmax(norms))
        parts.append(f"Norms from {number(low)} to {number(high)}.")
    return " ".join(parts)


def _lines(
    lines: Sequence[Line], *, key: str, title: str, axis: str, ticks: Sequence[int], trained: int
) -> Drawing:
    gone = [index for index, line in enumerate(lines) if line.no_answer]
    strip = 18.0 * len(gone) + (14.0 if gone else 0.0)
    height = _TOP + _PLOT + strip + 46
    wide = _WIDTH - _LEFT - _RIGHT
    with own_settings():
        figure = new_figure(_WIDTH, height)
        axes = figure.add_axes((_LEFT / _WIDTH, (46 + strip) / height, wide / _WIDTH, _PLOT / height))
        for index, line in enumerate(lines):
            _draw(axes, line, index)
        _scale(axes, ticks, trained)
        axes.set_ylabel("loss (nats per token)")
        axes.annotate(
            f"trained: {trained}",
            (trained, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            color=MUTED,
        )
        _label(axes, lines)
        if gone:
            below = figure.add_axes((_LEFT / _WIDTH, 46 / height, wide / _WIDTH, (strip - 10) / height))
            _no_answer(below, lines, gone)
            _scale(below, ticks, trained)
            below.set_xlim(axes.get_xlim())
            axes.tick_params(labelbottom=False)
            below.set_xlabel(axis)
        else:
            axes.set_xlabel(axis)
        svg = to_svg(
            figure,
            key=key,
            title=title,
            description=_describe_lines(lines, trained),
            words=[_shorten(line.name) for line in lines],
        )
    return Drawing(svg, ", ".join(line.name for line in lines))


def _style(index: int) -> dict[str, Any]:
    dashes = _DASHES[index]
    return {"color": series_colour(index), "linestyle": (0, dashes) if dashes else "solid"}


def _draw(axes: Axes, line: Line, index: int) -> None:
    marker: dict[str, Any] = {
        "marker": _MARKERS[index],
        "markersize": 6,
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.8,
    }
    axes.plot(line.x, line.y, **_style(index), **(marker if line.dots else {}), zorder=3, clip_on=False)
    if line.dots:
        # beside the mean, where its marker does not cover them
        aside = (max(line.x) / min(line.x)) ** (_SEEDS_ASIDE / (_WIDTH - _LEFT - _RIGHT))
        xs, ys = [x * aside for x, _ in line.dots], [y for _, y in line.dots]
        axes.plot(xs, ys, "o", markersize=2.6, color=series_colour(index), zorder=4, clip_on=False)


def _scale(axes: Axes, ticks: Sequence[int], trained: int) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ticks), [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.axvline(trained, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)


def _label(axes: Axes, lines: Sequence[Line]) -> None:
    """Name each line that reaches the right edge beside its end, spread so that no two names overlap."""
    right = axes.get_xlim()[1]
    low, high = axes.get_ylim()
    ends = {
        index: line.y[-1]
        for index, line in enumerate(lines)
        if line.y and not line.no_answer and math.isfinite(line.y[-1])
    }
    unit = (high - low) / _PLOT
    places = spread([(end - low) / unit for end in ends.values()], _LABEL_GAP, _PLOT)
    for (index, end), place in zip(ends.items(), places, strict=True):
        colour = series_colour(index)
        at = low + place * unit
        axes.annotate(
            stand_in(index),
            (right, at),
            xytext=(22, 0),
            textcoords="offset points",
            va="center_baseline",
            color=colour,
            annotation_clip=False,
        )
        _leader(axes, (lines[index].x[-1], end), (right, at), colour)


def _leader(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    from matplotlib.transforms import ScaledTranslation

    assert axes.figure is not None
    shift = axes.transData + ScaledTranslation(18 / 72, 0, axes.figure.dpi_scale_trans)
    (x0, y0), (x1, y1) = axes.transData.transform(start), shift.transform(end)
    back = axes.transAxes.inverted()
    xs, ys = zip(back.transform((x0, y0)), back.transform((x1, y1)), strict=True)
    axes.plot(xs, ys, color=colour, linewidth=0.8, transform=axes.transAxes, clip_on=False, zorder=2)


def _no_answer(axes: Axes, lines: Sequence[Line], gone: Sequence[int]) -> None:
    for level, index in enumerate(gone):
        marker: dict[str, Any] = {"marker": _MARKERS[index], "markersize": 5, "markerfacecolor": PAPER}
        where = lines[index].no_answer
        axes.plot(
            where,
            [-level] * len(where),
            **(_style(index) | {"linewidth": 1}),
            **(marker if lines[index].dots else {}),
            clip_on=False,
        )
        axes.annotate(
            stand_in(index),
            (1, -level),
            xycoords=("axes fraction", "data"),
            xytext=(22, 0),
            textcoords="offset points",
            va="center_baseline",
            color=series_colour(index),
            annotation_clip=False,
        )
    axes.set_ylim(-len(gone) + 0.5, 0.5)
    axes.set_yticks([-(len(gone) - 1) / 2], ["no answer"])
    axes.grid(False)


def spread(values: Sequence[float], gap: float, top: float) -> list[float]:
    """Move values apart until neighbours are ``gap`` apart, as little as one pass up and one down allow.

    >>> spread([10.0, 12.0, 90.0], gap=10.0, top=100.0)
    [10.0, 20.0, 90.0]
    >>> spread([99.0, 98.0], gap=10.0, top=100.0)
    [100.0, 90.0]
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    placed = list(values)
    for before, index in pairwise(order):
        placed[index] = max(placed[index], placed[before] + gap)
    ceiling = top
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed


def _describe_lines(lines: Sequence[Line], trained: int) -> str:
    parts = [f"Trained at length {trained}."]
    for line in lines:
        answers = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        if not answers:
            parts.append(f"{line.name}: no result.")
            continue
        (first, start), (last, end) = answers[0], answers[-1]
        tail = ", no answer past that" if line.no_answer else ""
        parts.append(f"{line.name}: {number(start)} at {first:g}, {number(end)} at {last:g}{tail}.")
    return " ".join(parts)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
