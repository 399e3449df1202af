"""The recommendation for what the user needs: among the encodings that fit, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from milepost.comparison.request import Request
from milepost.comparison.sentences.recommendation import build_recommendation
from milepost.comparison.verdicts.pairs import ComparisonFamily
from milepost.spec import Spec, parse_spec
from milepost.tasks import Floor, Task

Rows = Sequence[dict[str, Any]]

_FAR = 2.0  # factor between a scale and that of the rule from which on it may decide


def advise(
    request: Request,
    rows: Rows,
    family: ComparisonFamily,
    degradations: Rows,
    task: Task,
    *,
    floor: Floor | None,
    scales: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Recommend an encoding for the purpose of a sweep, say what it costs and what would change the answer.

    Args:
        request: what was asked for.
        rows: its trials.
        family: all pairs at the deciding length.
        degradations: from ``build_degradations``.
        task: the data.
        floor: score at the deciding length of the best answer that ignores the input; None where it is not known.
        scales: by encoding, the initial scales that it was given.

    Returns:
        As ``build_recommendation``, and ``excluded``: encodings that do not fit the purpose, each with its reason.
    """
    excluded = _exclude(request, rows, task)
    advice = build_recommendation(
        family,
        rows,
        degradations=degradations,
        excluded=excluded,
        floor=floor,
        examples=_examples(task, request.deciding_length),
    )
    if excluded.keys() >= set(request.encodings):
        advice |= {"sentence": "No encoding fits what you need.", "because": [], "would_change": []}
    advice["because"] += [f"{name} is left out: {reason}." for name, reason in excluded.items()]
    if advice["encoding"] is not None:
        advice["because"] += _cost(advice["encoding"], rows)
    advice["would_change"] += _change_by_edge(request)
    advice["would_change"] += _change_by_scale(request, scales)
    return advice | {"excluded": [{"encoding": name, "reason": reason} for name, reason in excluded.items()]}


def _examples(task: Task, length: int) -> str | None:
    count = task.count_items(length)
    return None if count is None else f"{count:,} different {task.item}"


def _exclude(request: Request, rows: Rows, task: Task) -> dict[str, str]:
    """Encodings that add too many parameters, or were asked for a length that they have no answer for."""
    most, length = request.purpose.max_parameters, request.purpose.need_length
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


def _change_by_edge(request: Request) -> list[str]:
    """Say where a better learning rate may lie outside of what was tried."""
    if len(request.grid.lrs) < 2:
        return []
    edges = {min(request.grid.lrs): "lowest", max(request.grid.lrs): "highest"}
    return [
        f"{name} was best at the {edges[request.setting(name).lr]} learning rate tried, {request.setting(name).lr:g}; "
        "a wider --tune-lr may find a better one."
        for name in request.encodings
        if request.setting(name).lr in edges
    ]


def _change_by_scale(request: Request, scales: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Say where an initial scale that the user chose is far from the rule's, so that the scale may decide."""
    if request.design.model.weights:
        return []  # the rule then follows the embeddings of those weights
    rule, found = request.design.model.init_std, []
    for name in request.encodings:
        given = _options(parse_spec(name))
        for kind, scale in scales.get(name, {}).items():
            if kind in given and not 1 / _FAR <= scale / rule <= _FAR:
                found.append(
                    f"The initial scale: {name} starts at {kind} {scale:.3g}, {scale / rule:.2g} times the {rule:.3g} "
                    f"of the rule, and that may decide; leave {kind} out, and --tune-scale tries several scales."
                )
    return found


def _options(spec: Spec) -> set[str]:
    """Names of the options that a spec gives, those of specs inside it too."""
    inner = (value for value in spec.options.values() if isinstance(value, Spec))
    return {*spec.options}.union(*map(_options, inner))
