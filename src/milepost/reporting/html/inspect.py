"""An ``inspect`` document as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from statistics import fmean
from typing import Any

from milepost.reporting import findings, words
from milepost.reporting.figures import inspect as inspect_figures
from milepost.reporting.figures.pixels import shrink
from milepost.reporting.html.page import reduce_matrix, render_page


def render_inspect_html(result: Mapping[str, Any]) -> str:
    """Render an ``inspect`` document as one HTML page, under the promises of `render_page`.

    Args:
        result: the document that ``inspect`` returns, as in ``schemas/inspect.json``. Left untouched.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        MissingExtra: MP106, when matplotlib, which draws the figures, is not installed.
    """
    document = words.clean(result)
    pairs = document["comparison"]["tables"] if document["comparison"] else []
    # a page stays small, however many tables it shows
    side, most = (64, 512) if len(document["tables"]) <= 2 else (24, 64)
    others, options = findings.list_other_tables(document)
    return render_page(
        "inspect.html.j2",
        others=others,
        options=options,
        document=document,
        headline=findings.inspect_headline(document),
        model=findings.describe_model(document),
        tables=[_table_view(table, index, side, most) for index, table in enumerate(document["tables"])],
        pairs=[_pair_view(pair, index, most) for index, pair in enumerate(pairs)],
    )


def _table_view(table: Mapping[str, Any], index: int, side: int, most: int) -> dict[str, Any]:
    """A table with its figures and with the numbers behind them."""
    view = {**table, "facts": findings.describe_table(table)}
    if not table["pictures"]:
        return view
    pictures = dict(table["pictures"])
    for name in ("norms", "cosine_by_distance", "frequencies"):
        if name in pictures:
            pictures[name] = _thin_curve(pictures[name], most)
    cosines = shrink(pictures["cosine_map"]["values"], side).tolist()
    pictures["cosine_map"] = {**pictures["cosine_map"], "values": cosines}
    nearest = inspect_figures.thin(pictures["nearest"]["values"], most, itemgetter(0))
    pictures["nearest"] = {**pictures["nearest"], **nearest}
    view["pictures"] = pictures
    drawings = {
        name: draw(view, f"{name}-{index}")
        for name, draw in (
            ("similarity", inspect_figures.draw_similarity),
            ("order", inspect_figures.draw_order),
            ("spectrum", inspect_figures.draw_spectrum),
        )
    }
    return {**view, "drawings": drawings, "reduced": reduce_matrix(cosines)}


def _thin_curve(curve: Mapping[str, Any], most: int) -> dict[str, Any]:
    thinned = inspect_figures.thin(curve["values"], most, fmean)
    return {**curve, "values": thinned["values"], "at": [curve["at"][place] for place in thinned["at"]]}


def _pair_view(pair: Mapping[str, Any], index: int, most: int) -> dict[str, Any]:
    """Two tables with the figure of their differences; where positions share a point it shows the largest one."""
    change = inspect_figures.thin(pair["change"], most, max)
    cosine = inspect_figures.thin(pair["cosine"], most, min)
    drawing = inspect_figures.draw_change(change, cosine, f"change-{index}", pair["summary"])
    return {**pair, "change": change, "cosine": cosine, "drawing": drawing}
