"""What all HTML pages share: templates, style and security policy; no script, no request, nothing that changes between runs."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from milepost.reporting import findings, words

_MOST_CELLS = 32


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
