"""A ``report`` document as one HTML page: that of ``compare`` for one run, runs side by side for several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from milepost.reporting.compare_summary import VERDICTS, CompareSummary, name_mean
from milepost.reporting.figures import compare as figures
from milepost.reporting.html.compare import render_compare_html
from milepost.reporting.html.page import render_page
from milepost.reporting.runs import merge
from milepost.reporting.words import clean


def render_report_html(document: Mapping[str, Any]) -> str:
    """Render a ``report`` document as one HTML page, under the promises of `render_compare_html`.

    Args:
        document: what ``report`` returns, as in ``schemas/report.json``. Left untouched.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        MissingExtra: MP106, when matplotlib, which draws the figures, is not installed.
    """
    if len(document["runs"]) == 1:
        return render_compare_html(document["runs"][0]["result"])
    results = {run["name"]: run["result"] for run in document["runs"]}
    tables = []
    for index, table in enumerate(document["tables"]):
        together = merge([{"name": name, "result": results[name]} for name in table["runs"]])
        tables.append({"summary": together, "drawings": figures.value_by_length(together, f"table-{index}-")})
    runs = [{"name": clean(name), "summary": CompareSummary.from_result(r)} for name, r in results.items()]
    return render_page(
        "report.html.j2",
        document=clean({"pair": document["pair"]}),
        headline=describe_runs(document),
        names=[run["name"] for run in runs],
        runs=runs,
        tables=tables,
        metric=runs[0]["summary"].metric,
        verdicts=VERDICTS,
        name_mean=name_mean,
    )


def describe_runs(document: Mapping[str, Any]) -> str:
    """What several runs have to do with each other, in a sentence."""
    pair, count = document["pair"], len(document["runs"])
    if pair is None:
        kinds = len(document["tables"])
        alike = "measured on the same data" if kinds == 1 else f"measured in {kinds} different ways"
        return f"{count} runs, {alike}."
    first, second = clean(pair["first"]), clean(pair["second"])
    if not pair["comparable"]:
        return f"{second} and {first} are not compared: {pair['reason']}."
    things = [clean(row["name"]) for row in pair["differences"]]
    things = [name if name.startswith("imports.") else name.replace(".", " ") for name in things]
    if not things:
        return f"{second} and {first} share one design."
    return f"{second} and {first} differ in {things[0]} alone."
