"""The recommendation for what the user needs: among the encodings that fit, and only where it is robust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from milepost.comparison.recommendation import build_recommendation
from milepost.comparison.request import Sweep
from milepost.comparison.settings import Setting, Values, find_flips
from milepost.tasks import Task

Rows = Sequence[dict[str, Any]]


def advise(
    sweep: Sweep,
    rows: Rows,
    comparisons: Rows,
    degradations: Rows,
    values: Mapping[tuple[str, Setting], Values],
    task: Task,
) -> dict[str, Any]:
    """Recommend an encoding for the purpose of a sweep, say what it costs and what would change the answer.

    Args:
        sweep: what was asked for.
        rows: its trials.
        comparisons: from ``build_comparisons``.
        degradations: from ``build_degradations``.
        values: the deciding metric at the deciding length, by encoding and setting; empty if nothing was tuned.
        task: the data.

    Returns:
        As ``build_recommendation``, and ``excluded``: encodings that do not fit the purpose, each with its reason.
    """
    excluded = _exclude(sweep, rows, task)
    fitting = [row for row in rows if row["encoding"] not in excluded]
    if not fitting:
        advice: dict[str, Any] = {
            "encoding": None,
            "sentence": "No encoding fits what is needed.",
            "because": [],
            "would_change": [],
        }
    else:
        advice = build_recommendation(
            [c for c in comparisons if not {c["encoding"], c["baseline"]} & excluded.keys()],
            fitting,
            baseline=sweep.baseline,
            deciding_length=sweep.deciding_length,
            metric=sweep.metric.name,
            metric_name=sweep.metric.title,
            margin=sweep.margin,
            degradations=[d for d in degradations if d["encoding"] not in excluded],
            higher_is_better=sweep.metric.higher_is_better,
            sequential=sweep.sequential,
        )
    advice["because"] += [f"{name} is left out: {reason}." for name, reason in excluded.items()]
    if advice["encoding"] is not None:
        advice["because"] += _cost(advice["encoding"], rows)
        _withdraw_unless_robust(advice, sweep, values)
    advice["would_change"] += _change_by_edge(sweep)
    return advice | {"excluded": [{"encoding": name, "reason": reason} for name, reason in excluded.items()]}


def _exclude(sweep: Sweep, rows: Rows, task: Task) -> dict[str, str]:
    """Encodings that add too many parameters, or were asked for a length that they have no answer for."""
    most, length = sweep.purpose.max_parameters, sweep.purpose.need_length
    found = {}
    for row in rows:
        if row["status"] != "done":
            continue
        if most is not None and row["position_parameters"] > most:
            found[row["encoding"]] = f"it adds {row['position_parameters']:,} parameters, more than {most:,}"
        elif length is not None and row["metrics"].get(str(length), ...) is None:
            rows_needed = task.positions(length)
            found[row["encoding"]] = (
                f"it has no answer at length {length}; trained at that length, with {rows_needed:,} positions, it would"
            )
    return found


def _cost(encoding: str, rows: Rows) -> list[str]:
    row = next(row for row in rows if row["encoding"] == encoding and row["status"] == "done")
    added, whole = row["position_parameters"], row["parameters"]
    if not added:
        return [f"{encoding} adds no parameters to the model's {whole:,}."]
    return [f"{encoding} costs {added:,} of the model's {whole:,} parameters ({100 * added / whole:.1f} %)."]


def _withdraw_unless_robust(
    advice: dict[str, Any], sweep: Sweep, values: Mapping[tuple[str, Setting], Values]
) -> None:
    """Take a winner back whose lead over another encoding hangs on the settings tried."""
    best = advice["encoding"]
    for other in sweep.encodings:
        lead = {"encoding": best, "baseline": other, "verdict": "better", "margin": 0.0}
        if other == best or (other, sweep.setting(other)) not in values:
            continue
        flips = find_flips(lead, values, sweep.chosen, higher_is_better=sweep.metric.higher_is_better)
        if flips:
            advice["encoding"] = None
            advice["sentence"] = (
                f"No winner can be named at length {sweep.deciding_length}: {best} leads at the settings chosen, "
                f"but {flips[0]}."
            )
            advice["because"] += [f"Not robust: {flip}." for flip in flips[1:]]


def _change_by_edge(sweep: Sweep) -> list[str]:
    """Say where a better learning rate may lie outside of what was tried."""
    if len(sweep.grid.lrs) < 2:
        return []
    edges = {min(sweep.grid.lrs): "lowest", max(sweep.grid.lrs): "highest"}
    return [
        f"{name} was best at the {edges[sweep.setting(name).lr]} learning rate tried, {sweep.setting(name).lr:g}; "
        "a wider --tune-lr may find a better one."
        for name in sweep.encodings
        if sweep.setting(name).lr in edges
    ]
