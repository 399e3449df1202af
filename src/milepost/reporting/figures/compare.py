"""The figures of a ``compare`` report, drawn from its summary alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from milepost.reporting.compare_summary import CompareSummary, name_mean, name_metric
from milepost.reporting.figures.lines import Chart, Drawing, Line, draw_lines, drawable
from milepost.reporting.figures.svg import ACCENT, MUTED, SERIES, new_figure, own_settings, to_svg
from milepost.reporting.words import capitalised, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_WIDTH = 860.0
_MOST_BINS = 48
_AXES = {"position": "position in the input (1 = the first prediction)", "horizon": "horizon (steps ahead)"}
_SLIDING = "place among the predictions scored (1 = the first of a window)"


def groups_of(encodings: Sequence[str], baseline: str) -> list[list[str]]:
    """Split encodings into charts of at most eight lines, the baseline first in each.

    >>> [len(group) for group in groups_of([str(n) for n in range(10)], "0")]
    [8, 3]
    """
    others = [name for name in encodings if name != baseline]
    step = SERIES - 1
    return [[baseline, *others[start : start + step]] for start in range(0, max(len(others), 1), step)]


def value_by_length(summary: CompareSummary, prefix: str = "") -> list[Drawing]:
    """Mean of the deciding metric against evaluation length, one dot a seed, the trained length marked.

    ``prefix`` keeps the ids apart where a page draws several.
    """
    drawings = []
    for index, group in enumerate(groups_of(summary.encodings, summary.spec["baseline"])):
        lines = []
        for name in group:
            means = [summary.value(name, n) for n in summary.lengths]
            dots = [(n, value) for n in summary.lengths for _, value in summary.values(name, n)]
            missing = [n for n in summary.lengths if summary.undefined(name, n)]
            lines.append(Line(name, summary.lengths, [drawable(v) for v in means], dots, missing))
        chart = Chart(
            key=f"{prefix}length-{index}",
            title=f"{capitalised(name_mean(summary.metric))} by length",
            x=f"evaluation length ({summary.unit})",
            y=name_metric(summary.metric),
            ticks=summary.lengths,
            trained=summary.spec["train_length"],
        )
        drawings.append(draw_lines(lines, chart))
    return drawings


def value_by_place(summary: CompareSummary) -> list[Drawing]:
    """Mean of the trials' curves along the task's axis, at the longest length each encoding answers."""
    curves = {name: summary.curve(name) for name in summary.encodings}
    edges = place_edges(summary)
    if not edges:
        return []
    longest, trained = edges[-1] - 1, marked_place(summary)
    drawings = []
    for index, group in enumerate(groups_of(summary.encodings, summary.spec["baseline"])):
        lines = []
        for name in group:
            binned = bins(curves[name], edges)
            ends = len(curves[name])
            missing = [ends, longest] if trained is not None and 0 < ends < longest else []
            lines.append(Line(name, [x for x, _ in binned], [y for _, y in binned], (), missing))
        chart = Chart(
            key=f"position-{index}",
            title=f"{capitalised(name_mean(summary.curve_metric))} by {summary.axis}",
            x=_SLIDING if summary.spec["evaluate"] == "sliding" else _AXES.get(summary.axis, summary.axis),
            y=name_metric(summary.curve_metric),
            ticks=[2**power for power in range(int(math.log2(longest)) + 1)],
            trained=trained,
        )
        drawings.append(draw_lines(lines, chart))
    return drawings


def marked_place(summary: CompareSummary) -> int | None:
    """The place at which training ended, where the curves run along positions of the whole input."""
    along = summary.axis == "position" and summary.spec["evaluate"] != "sliding"
    return summary.spec["train_length"] if along else None


def place_edges(summary: CompareSummary) -> list[int]:
    """Edges of the bins of the curves of all encodings; none where there is nothing to draw."""
    longest = max((len(summary.curve(name)) for name in summary.encodings), default=0)
    if not summary.axis or longest < 2:
        return []
    return position_edges(longest, marked_place(summary) or longest)


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
    cosine = np.array([[drawable(value) for value in row] for row in picture["cosine"]], dtype=float)
    norms = np.array([drawable(value) for value in picture["norms"]], dtype=float)
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
    if np.isfinite(norms).any():
        low, high = float(np.nanmin(norms)), float(np.nanmax(norms))
        parts.append(f"Norms from {number(low)} to {number(high)}.")
    return " ".join(parts)
