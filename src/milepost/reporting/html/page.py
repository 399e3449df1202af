"""Result documents as self-contained HTML pages: no script, no request, nothing that changes between runs."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from statistics import fmean
from typing import Any

import numpy as np

from milepost.reporting import findings, words
from milepost.reporting.figures import inspect as inspect_figures
from milepost.reporting.figures.pixels import shrink

_MOST_CELLS = 32


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


def render_doctor_html(result: Mapping[str, Any]) -> str:
    """Render a ``doctor`` document as one HTML page, under the promises of `render_page`.

    Args:
        result: the document that ``doctor`` returns, as in ``schemas/doctor.json``. Left untouched.

    Returns:
        The page, to be written as UTF-8.
    """
    document = words.clean(result)
    return render_page(
        "doctor.html.j2",
        document=document,
        headline=findings.doctor_headline(document),
        model=findings.describe_model(document),
    )


def render_page(template: str, **context: Any) -> str:
    """Fill one of the package's templates; all of them share one layout, style and security policy.

    A page stands alone (no script, no external request) and is the same for the same document, byte for byte.
    Every text of the document is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    environment = Environment(
        loader=PackageLoader("milepost.reporting.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number,
        signed=words.signed,
        percent=words.percent,
        count=words.count,
        signed_count=words.signed_count,
        capitalised=words.capitalised,
        p_value=words.p_value,
        size=words.size,
        inline=_inline,
        breakable=lambda name: Markup(escape(name).replace(",", Markup(",<wbr>"))),
    )
    environment.globals.update(
        statuses=findings.STATUSES,
        with_status=findings.with_status,
        measure_words=findings.measure_words,
        beside_chance=findings.beside_chance,
    )
    style = environment.get_template("style.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # the figures' SVG is ours, its words already escaped; everything else goes through autoescape
    return environment.get_template(template).render(
        context, style=Markup(style), style_digest=digest, svg=lambda drawing: Markup(drawing.svg)
    )


def _inline(value: Any) -> str:
    """A setting's value on one line, as a reader would write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inline(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_inline, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)


def reduce_matrix(matrix: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """A matrix small enough to be read as a table: blocks are averaged where it has too many rows."""
    whole = np.array([[math.nan if v is None else v for v in row] for row in matrix], dtype=float)
    block = max(1, math.ceil(len(whole) / _MOST_CELLS))
    starts = range(0, len(whole), block)
    cells = [[float(whole[i : i + block, j : j + block].mean()) for j in starts] for i in starts]
    return {"block": block, "cosine": cells}
