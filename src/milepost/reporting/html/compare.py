"""A ``compare`` document as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from milepost.reporting.breakdown import read_breakdowns, read_confusions
from milepost.reporting.compare_summary import VERDICTS, CompareSummary, name_mean, name_metric
from milepost.reporting.figures import compare as figures
from milepost.reporting.html.page import reduce_matrix, render_page
from milepost.reporting.words import count, mean, percent


def render_compare_html(result: Mapping[str, Any]) -> str:
    """Render a ``compare`` document as one HTML page.

    The page stands alone (no script, no external request) and is the same for the same document, byte for byte.
    Every text of the document is escaped.

    Args:
        result: the document that ``compare`` returns, as in ``schemas/compare.json``. Left untouched.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        MissingExtra: MP106, when matplotlib, which draws the figures, is not installed.
    """
    found = CompareSummary.from_result(result)
    pictures = [
        {"drawing": figures.learned_table(name, picture, index), "rows": picture["rows"]}
        | reduce_matrix(picture["cosine"])
        | {"norms": picture["norms"]}
        for index, (name, picture) in enumerate(found.document["pictures"].items())
    ]
    decides = found.spec["deciding_length"]
    return render_page(
        "compare.html.j2",
        summary=found,
        spec=found.spec,
        document=found.document,
        verdicts=VERDICTS,
        name_mean=name_mean,
        name_metric=name_metric,
        parameters=_describe_parameters(found),
        by_length=figures.value_by_length(found),
        by_place=figures.value_by_place(found),
        places=_place_rows(found),
        breakdowns={n: tables for n in found.lengths if (tables := read_breakdowns(found, n))},
        confusions=read_confusions(found, decides),
        tuning=_tuning_rows(found),
        pictures=pictures,
    )


def _describe_parameters(found: CompareSummary) -> str:
    """How many parameters the models have, and how far they differ."""
    known = [n for name in found.encodings if (n := found.cost(name).parameters) is not None]
    if not known:
        return "–"
    least, most = min(known), max(known)
    if least == most:
        return f"{count(most)} in each model"
    return f"{count(least)} to {count(most)}, {percent((most - least) / least)}"


def _place_rows(found: CompareSummary) -> list[tuple[str, list[float | None]]]:
    """The numbers behind the figure by place: a range of places, and the mean of each encoding."""
    curves = [found.curve(name) for name in found.encodings]
    rows = []
    for edge, stop in pairwise(figures.place_edges(found)):
        name = str(edge) if stop == edge + 1 else f"{edge}–{stop - 1}"
        means = (mean([v for v in c[edge - 1 : stop - 1] if math.isfinite(v)]) for c in curves)
        rows.append((name, list(means)))
    return rows


def _tuning_rows(found: CompareSummary) -> list[dict[str, Any]]:
    """What was tried: an encoding's setting, what each seed got there, and whether it was chosen."""
    tuning = found.document.get("tuning")
    if not tuning:
        return []
    rows: dict[tuple[str, float, float], dict[str, Any]] = {}
    for trial in tuning["trials"]:
        key = trial["encoding"], trial["lr"], trial["scale"]
        chosen = tuning["chosen"].get(key[0]) == {"lr": key[1], "scale": key[2]}
        row = rows.setdefault(key, {"setting": key, "chosen": chosen, "seeds": []})
        row["seeds"].append(trial)
    for row in rows.values():
        row["mean"] = mean([t["value"] for t in row["seeds"] if t["value"] is not None])
    return list(rows.values())
