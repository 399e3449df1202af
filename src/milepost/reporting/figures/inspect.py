"""The figures of an ``inspect`` page, and its picture for other documents."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from milepost.errors import NoTable
from milepost.reporting.figures.compare import Drawing, cosine_square
from milepost.reporting.figures.svg import ACCENT, MUTED, new_figure, own_settings, to_svg
from milepost.reporting.text.console import to_ascii
from milepost.reporting.words import clean, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Curve = Mapping[str, Any]

_WIDTH, _HEIGHT = 860.0, 306.0
_PNG_HEIGHT, _PNG_DPI, _MOST_TABLES = 340.0, 144, 16
_LIGHT_ACCENT = "#2a55b8"
_LIGHT: dict[Any, Any] = {
    "text.color": "#1b1e24",
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), "#5a6170"),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), "#5a6170"),
    "grid.color": "#dfe2e8",
    "figure.facecolor": "#ffffff",
}


def draw_similarity(table: Mapping[str, Any], key: str) -> Drawing:
    """The cosine similarity of all pairs of positions, and the norm of each row."""
    pictures = table["pictures"]
    cosines = _array(pictures["cosine_map"]["values"])
    norms = pictures["norms"]["values"]
    with own_settings():
        figure = new_figure(_WIDTH, _HEIGHT)
        _draw_similarity(figure, table, ACCENT)
        said = [f"{_positions(table)} positions."]
        if len(cosines) > 1:
            near, far = (float(np.diagonal(cosines, k).mean()) for k in (1, len(cosines) // 2))
            said.append(
                f"Mean cosine of neighbouring cells {number(near, 2)}, half a table apart {number(far, 2)}."
            )
        said.append(f"Norms from {number(min(norms))} to {number(max(norms))}.")
        return Drawing(
            to_svg(figure, key=key, title="Similarity and norms", description=" ".join(said)), table["key"]
        )


def _draw_similarity(
    figure: FigureBase, table: Mapping[str, Any], colour: str, height: float = _HEIGHT
) -> None:
    pictures, positions = table["pictures"], _positions(table)
    square = cosine_square(figure, _array(pictures["cosine_map"]["values"]), positions, "position", height)
    profile = _right(figure, height)
    _curve(profile, pictures["norms"], colour)
    profile.set(xlabel="position", ylabel="norm of the row")
    profile.set_ylim(bottom=0)
    _whole_numbers(square, profile)


def draw_order(table: Mapping[str, Any], key: str) -> Drawing:
    """Whether rows know their place: mean cosine by distance, and the row nearest to each."""
    pictures = table["pictures"]
    distance, nearest = pictures["cosine_by_distance"], pictures["nearest"]
    pairs = list(zip(nearest["at"], nearest["values"], strict=True))
    neighbours = sum(abs(row - at) == 1 for at, row in pairs) / len(pairs)
    last = max(nearest["at"][-1], 1)
    with own_settings():
        figure = new_figure(_WIDTH, _HEIGHT)
        left, right = _left(figure), _right(figure)
        left.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        _curve(left, distance, ACCENT)
        left.set(
            xlabel="distance in positions", ylabel="mean cosine", ylim=(min(-0.1, *distance["values"]), 1.02)
        )
        right.plot([0, last], [0, last], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        _dots(right, nearest["at"], nearest["values"])
        right.set(xlabel="position", ylabel="position of the nearest row", xlim=(0, last))
        _whole_numbers(left, right)
        right.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        values = distance["values"]
        said = (
            f"Mean cosine {number(values[1], 2)} at distance 1, {number(values[len(values) // 2], 2)} at distance "
            f"{distance['at'][len(values) // 2]}. For {100 * neighbours:.0f} % of rows the nearest row is a neighbour."
        )
        return Drawing(to_svg(figure, key=key, title="Order of the rows", description=said), table["key"])


def draw_spectrum(table: Mapping[str, Any], key: str) -> Drawing | None:
    """How many directions the table uses, and how slow its waves are; None where all rows are alike."""
    pictures = table["pictures"]
    if "spectrum" not in pictures:
        return None
    shares, waves = pictures["spectrum"], pictures["frequencies"]
    with own_settings():
        figure = new_figure(_WIDTH, _HEIGHT)
        left, right = _left(figure), _right(figure)
        for axes, curve, label in (
            (left, shares, "direction, strongest first"),
            (right, waves, "cycles over the rows"),
        ):
            _curve(
                axes,
                {**curve, "values": [100 * value for value in curve["values"]]},
                ACCENT,
                "o" if len(curve["at"]) <= 64 else "",
            )
            axes.set(xlabel=label, ylabel="share of variance (%)")
            axes.set_ylim(bottom=0)
        right.set_xscale("log", base=2)
        right.set_xticks(
            ticks := [2**k for k in range(int(np.log2(waves["at"][-1])) + 1)], list(map(str, ticks))
        )
        right.minorticks_off()
        _whole_numbers(left)
        said = (
            f"The strongest direction holds {100 * shares['values'][0]:.1f} % of the variance, the eight strongest "
            f"{100 * sum(shares['values'][:8]):.1f} %; the slowest wave {100 * waves['values'][0]:.1f} %, the eight "
            f"slowest {100 * sum(waves['values'][:8]):.1f} %."
        )
        return Drawing(to_svg(figure, key=key, title="Spectrum", description=said), table["key"])


def draw_change(change: Curve, cosine: Curve, key: str, summary: str) -> Drawing | None:
    """How far rows are from their counterparts in another table; None where nothing can be said of any row."""
    points = [
        (at, value) for at, value in zip(change["at"], change["values"], strict=True) if value is not None
    ]
    if not points:
        return None
    with own_settings():
        figure = new_figure(_WIDTH, _HEIGHT)
        left, right = _left(figure), _right(figure)
        for axes, curve, label in (
            (left, change, "change, in norms of the other row"),
            (right, cosine, "cosine with the other row"),
        ):
            _curve(axes, {**curve, "values": _array(curve["values"])}, ACCENT)
            axes.set(xlabel="position", ylabel=label)
        left.set_ylim(bottom=0)
        right.set_ylim(top=1.02)
        _whole_numbers(left, right)
        at, most = max(points, key=lambda point: point[1])
        said = f"{summary}. The largest change is {number(most)} norms, at position {at} or soon after."
        return Drawing(to_svg(figure, key=key, title="Change of each row", description=said), key)


def thin(values: Sequence[float | None], most: int, pick: Callable[[list[float]], float]) -> Curve:
    """A curve of at most ``most`` points, each picked from a block of neighbours; ``at`` is where blocks begin.

    >>> thin([1.0, 5.0, None, 2.0], 2, max)
    {'at': [0, 2], 'values': [5.0, 2.0]}
    """
    step = max(1, -(-len(values) // most))
    at = list(range(0, len(values), step))
    blocks = ([value for value in values[start : start + step] if value is not None] for start in at)
    return {"at": at, "values": [pick(block) if block else None for block in blocks]}


def render_inspect_png(result: Mapping[str, Any]) -> bytes:
    """Draw the similarity map and the norms of each table of an ``inspect`` document as one PNG, light, 2 x density.

    The same document gives the same bytes with one version of matplotlib.

    Args:
        result: the document that ``inspect`` returns. Left untouched.

    Raises:
        MissingExtra: MP106, when matplotlib is not installed.
        NoTable: MP122, when no table has anything to draw.
    """
    tables = [table for table in clean(result)["tables"] if table["pictures"]][:_MOST_TABLES]
    if not tables:
        raise NoTable(
            "there is no table to draw", got="no position table with finite values", fix="leave out --png"
        )
    with own_settings():
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        matplotlib.rcParams.update(_LIGHT)
        whole = new_figure(_WIDTH, _PNG_HEIGHT * len(tables))
        whole.set_dpi(_PNG_DPI)
        for part, table in zip(whole.subfigures(len(tables), 1, squeeze=False)[:, 0], tables, strict=True):
            # names are made ASCII: no font holds every character
            title = to_ascii(f"{table['key'][-80:]}, {table['rows']} × {table['dim']}")
            part.text(52 / _WIDTH, 1 - 18 / _PNG_HEIGHT, title, va="center")
            _draw_similarity(part, table, _LIGHT_ACCENT, _PNG_HEIGHT)
        buffer = io.BytesIO()
        FigureCanvasAgg(whole).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _array(values: Sequence[Any]) -> np.ndarray:
    return np.array(values, dtype=float)


def _positions(table: Mapping[str, Any]) -> int:
    """How many positions the pictures show: class and trailing rows are no positions."""
    return table["usable_length"] - table["prefix_rows"] - table["trailing_rows"]


def _left(figure: FigureBase, height: float = _HEIGHT) -> Axes:
    return figure.add_axes((60 / _WIDTH, 42 / height, 330 / _WIDTH, 240 / height))


def _right(figure: FigureBase, height: float = _HEIGHT) -> Axes:
    return figure.add_axes((470 / _WIDTH, 42 / height, 376 / _WIDTH, 240 / height))


def _curve(axes: Axes, curve: Mapping[str, Any], colour: str, marker: str = "") -> None:
    axes.plot(
        curve["at"], curve["values"], color=colour, linewidth=1.3, clip_on=False, marker=marker, markersize=3
    )
    axes.set_xlim(curve["at"][0], max(curve["at"][-1], curve["at"][0] + 1))


def _dots(axes: Axes, at: Sequence[int], values: Sequence[float]) -> None:
    """Points as one path of dashes without length, which takes half the bytes of markers."""
    import matplotlib

    matplotlib.rcParams["path.simplify"] = False  # it would drop them; these are our own settings
    gap = [np.nan] * len(at)
    xs, ys = (np.stack([one, one, gap], axis=1).ravel() for one in (at, values))
    axes.plot(xs, ys, color=ACCENT, linewidth=2.6, solid_capstyle="round")


def _whole_numbers(*charts: Axes) -> None:
    for axes in charts:
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
