"""A chart of lines, one an encoding, as the report draws several of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from milepost.reporting.figures.svg import (
    MUTED,
    PAPER,
    new_figure,
    own_settings,
    series_colour,
    stand_in,
    to_svg,
)
from milepost.reporting.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^DvPX*"
_DASHES = ((), (5, 1.5), (1.2, 1.2), (7, 1.5, 1.2, 1.5), (3, 1), (9, 2), (4, 1, 1, 1, 1, 1), (1, 2))
_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 860.0, 84.0, 200.0, 30.0, 320.0
_LABEL_GAP = 16.0
LARGEST = 1e100  # matplotlib cannot scale an axis to the largest numbers; no loss or score is near this
_LONGEST_LABEL = 22
_SEEDS_ASIDE = 9.0


@dataclass(frozen=True)
class Drawing:
    """A finished figure and, where it is one of several, what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Line:
    """One encoding in a figure; a value that is not finite, or above ``LARGEST``, breaks the line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: Sequence[tuple[float, float]] = ()
    no_answer: Sequence[float] = ()


@dataclass(frozen=True)
class Chart:
    """What stands around the lines.

    Args:
        key: prefix of the drawing's ids.
        title: read out first.
        x: label of the axis of lengths or places; any text is safe.
        y: label of the axis of values; any text is safe.
        ticks: marked on the axis ``x``.
        trained: where to draw an upright, if anywhere.
    """

    key: str
    title: str
    x: str
    y: str
    ticks: Sequence[int]
    trained: int | None


def drawable(value: float | None) -> float:
    """A value as it is drawn: not at all where it is missing or too large.

    >>> drawable(1.5), drawable(None), drawable(-1e300)
    (1.5, nan, nan)
    """
    return math.nan if value is None or not abs(value) <= LARGEST else float(value)


def draw_lines(lines: Sequence[Line], chart: Chart) -> Drawing:
    """Draw lines over a logarithmic axis, each named at its end; those without an answer go on below the plot."""
    described = _describe_lines(lines, chart.trained)
    lines = [_without_extremes(line) for line in lines]
    gone = [index for index, line in enumerate(lines) if line.no_answer]
    strip = 18.0 * len(gone) + (14.0 if gone else 0.0)
    height = _TOP + _PLOT + strip + 46
    wide = _WIDTH - _LEFT - _RIGHT
    with own_settings():
        figure = new_figure(_WIDTH, height)
        axes = figure.add_axes((_LEFT / _WIDTH, (46 + strip) / height, wide / _WIDTH, _PLOT / height))
        for index, line in enumerate(lines):
            _draw(axes, line, index)
        _scale(axes, chart)
        axes.set_ylabel(stand_in(len(lines)))
        if chart.trained is not None:
            axes.annotate(
                f"trained: {chart.trained}",
                (chart.trained, 1),
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
            _scale(below, chart)
            below.set_xlim(axes.get_xlim())
            axes.tick_params(labelbottom=False)
            below.set_xlabel(stand_in(len(lines) + 1))
        else:
            axes.set_xlabel(stand_in(len(lines) + 1))
        svg = to_svg(
            figure,
            key=chart.key,
            title=chart.title,
            description=described,
            words=[*(_shorten(line.name) for line in lines), chart.y, chart.x],
        )
    return Drawing(svg, ", ".join(line.name for line in lines))


def _without_extremes(line: Line) -> Line:
    dots = [(x, y) for x, y in line.dots if math.isfinite(drawable(y))]
    return replace(line, y=[drawable(y) for y in line.y], dots=dots)


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


def _scale(axes: Axes, chart: Chart) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(chart.ticks), [str(tick) for tick in chart.ticks])
    axes.minorticks_off()
    if len(chart.ticks) == 1:  # one place alone has no range to take the limits from
        axes.set_xlim(chart.ticks[0] / 2, chart.ticks[0] * 2)
    if chart.trained is not None:
        axes.axvline(chart.trained, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)


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


def _describe_lines(lines: Sequence[Line], trained: int | None) -> str:
    parts = [] if trained is None else [f"Trained at length {trained}."]
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
