"""Two runs compared: what differs in their designs, and what it does to each encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from milepost.comparison.verdicts.scores import Criterion, Scores, adjust, read_scores
from milepost.reporting.compare_summary import CompareSummary

# what of a spec makes its design; the rest says what was asked of it
_DESIGN = (
    "task",
    "data",
    "train_length",
    "steps",
    "batch",
    "evaluate",
    "options",
    "model",
    "training",
    "imports",
)


def contrast_runs(first: Mapping[str, Any], second: Mapping[str, Any], *, together: bool) -> dict[str, Any]:
    """Compare the second run with the first, encoding by encoding, where that is meaningful.

    It is where both were measured alike and their designs differ in one thing at most: then a difference is due
    to that thing. Seeds are paired, intervals and p are adjusted by Holm's method over the encodings at one length,
    and verdicts follow the table of ``build_comparisons``.

    Args:
        first: a run: ``name`` and ``result``.
        second: the other.
        together: whether both were measured on the same data.

    Returns:
        ``first second differences environment comparable reason comparisons``; a comparison's ``difference`` is
        the second run minus the first.
    """
    one, other = first["result"], second["result"]
    differences = compare_designs(one, other)
    environment = _differences(one["environment"], other["environment"])
    reason = None
    if not together:
        reason = "they were not measured on the same data in the same way"
    elif len(differences) > 1:
        reason = "their designs differ in more than one thing, so a difference could be due to any of them"
    return {
        "first": first["name"],
        "second": second["name"],
        "differences": differences,
        "environment": environment,
        "comparable": reason is None,
        "reason": reason,
        "comparisons": _compare(one, other) if reason is None else [],
    }


def compare_designs(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What differs in two designs: ``name first second``, one entry a thing."""
    return _differences(_design(one), _design(other))


def _design(result: Mapping[str, Any]) -> dict[str, Any]:
    spec = result["spec"]
    design = {name: spec.get(name) for name in _DESIGN}
    design["data"] = spec["data"]["sha256"][:12]
    tuning = result.get("tuning") or {}
    design |= {"tuned": {name: tuning.get(name) for name in ("lrs", "scales")}}
    return design


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    ours, theirs = _flatten(one), _flatten(other)
    found = [
        {"name": name, "first": ours.get(name), "second": theirs.get(name)}
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
    names = {row["name"] for row in found}
    # the initial scale follows the width unless it is given
    return [row for row in found if row["name"] != "model.init_std" or "model.dim" not in names]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    found, there = CompareSummary.from_result(one), CompareSummary.from_result(other)
    names = [name for name in found.encodings if name in there.encodings]
    trials = [
        {**trial, "encoding": _label(run, trial["encoding"])}
        for run, summary in enumerate((found, there))
        for trial in summary.trials
        if trial["encoding"] in names
    ]
    metric, rows = found.metric, []
    criterion = Criterion(
        metric["name"],
        metric["title"],
        metric["higher_is_better"],
        metric.get("bounded", False),
        found.spec["margin"],
    )
    for length in sorted(set(found.lengths) & set(there.lengths)):
        rows += _compare_at(read_scores(trials, length, criterion), names)
    return rows


def _compare_at(scores: Scores, names: list[str]) -> list[dict[str, Any]]:
    pairs = [scores.pair(_label(1, name), _label(0, name), scores.margin(_label(0, name))) for name in names]
    several = "encoding" if sum(pair.tested for pair in pairs) == 1 else "encodings"
    pairs = adjust(pairs, scores.criterion, f"{several} in two runs at length {scores.length}")
    better = "higher" if scores.criterion.higher_is_better else "lower"
    return [
        {"encoding": name, "metric": scores.criterion.metric, "better": better, "length": scores.length}
        | pair.describe()
        | {
            "unconverged": [
                ("first", "second")[run] for run in (0, 1) if _label(run, name) in pair.unconverged
            ]
        }
        for name, pair in zip(names, pairs, strict=True)
    ]


def _label(run: int, encoding: str) -> str:
    return f"{run}: {encoding}"
