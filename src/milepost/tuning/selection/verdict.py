"""What measurements of candidates say: paired differences over documents, and a recommendation that may be none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from milepost.statistics import (
    LEVEL,
    PairedDifference,
    apply_holm,
    judge_difference,
    measure_detectable,
    measure_difference,
    or_none,
)
from milepost.tuning.selection.evaluation import Outcome, Reading, ReadingMetric

_ROUNDING: Final = 1e-6
"""Differences below it are those of float32 arithmetic: the same rows in another order of sums."""
_BETTER: Final[Mapping[str, str]] = {
    "passages": "lets passages find their documents better than documents cut at {old:,} positions do",
    "end": "has a lower loss past the old length than the model in overlapping windows of {old:,} positions",
}
_NONE: Final[Mapping[str, str]] = {
    "passages": "No method is shown to be better than cutting documents at {old:,} positions",
    "end": "No method is shown to be better than reading in overlapping windows of {old:,} positions",
}


def compare_outcomes(
    reading: Reading, baseline: Outcome, outcomes: Mapping[str, Outcome]
) -> dict[str, dict[str, Any]]:
    """Hold each outcome against the baseline, metric by metric.

    Intervals are paired t intervals over documents; p values are corrected by Holm over the outcomes, within each metric.

    Returns:
        By name: ``metrics`` and ``by_position``, as ``schemas/choose.json`` has them.
    """
    rows: dict[str, dict[str, Any]] = {name: {"metrics": {}} for name in outcomes}
    for metric in reading.metrics:
        before = baseline.values[metric.name]
        found = [
            measure_difference(_differences(one.values[metric.name], before)) for one in outcomes.values()
        ]
        corrected = apply_holm([one.p for one in found]).tolist()
        for (name, outcome), difference, p in zip(outcomes.items(), found, corrected, strict=True):
            values = outcome.values[metric.name]
            rows[name]["metrics"][metric.name] = {
                "value": float(values.mean()),
                "baseline": float(before.mean()),
                "difference": difference.mean,
                "low": or_none(difference.low),
                "high": or_none(difference.high),
                "p": or_none(difference.p),
                "p_adjusted": or_none(p),
                "detectable": or_none(measure_detectable(difference.sd, difference.n)),
                "verdict": _verdict(metric, difference, p),
                "values": values.tolist(),
            }
    for name, outcome in outcomes.items():
        rows[name]["by_position"] = list(_by_position(reading.boundary, baseline, outcome))
    return rows


def _differences(values: np.ndarray, before: np.ndarray) -> np.ndarray:
    differences = values - before
    return np.where(np.abs(differences) < _ROUNDING, 0.0, differences)


def _verdict(metric: ReadingMetric, difference: PairedDifference, p: float) -> str:
    verdict = judge_difference(difference, p, higher_is_better=metric.higher_is_better)
    return verdict if verdict in ("same", "better", "worse") else "undecided"


def _by_position(boundary: int, baseline: Outcome, outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Mean scores within the old length, then over stretches that each double what came before."""
    begin, end = 0, boundary
    while begin <= outcome.positions.max():
        here = (outcome.positions >= begin) & (outcome.positions < end)
        before = (baseline.positions >= begin) & (baseline.positions < end)
        if here.any() and before.any():
            yield {
                "begin": begin,
                "end": end,
                "scored": int(here.sum()),
                "value": float(outcome.scores[here].mean()),
                "baseline": float(baseline.scores[before].mean()),
            }
        begin, end = end, 2 * end


def recommend(
    reading: Reading,
    rows: Sequence[Mapping[str, Any]],
    references: Mapping[str, Mapping[str, Any]],
    *,
    command: str = "milepost extend MODEL --to N",
) -> dict[str, Any]:
    """Recommend the candidate that is best by the deciding metric, of those shown to be better than the baseline.

    One that is shown to be worse on inputs within the old length is never recommended.

    Args:
        reading: what was asked.
        rows: candidates, as the document has them.
        references: what can be done without an extension.
        command: what extends the model, without the method.

    Returns:
        ``method`` (None where no candidate is shown to be better), ``best`` (the best candidate by the deciding metric, shown to be better
        or not; None where none was measured), ``sentence``, and ``because``, more sentences.
    """
    metric = next(one for one in reading.metrics if one.name == reading.deciding)
    sign = 1 if metric.higher_is_better else -1
    done = sorted(
        (row for row in rows if row["status"] == "done"),
        key=lambda row: -sign * row["metrics"][metric.name]["value"],
    )
    better = [row for row in done if row["metrics"][metric.name]["verdict"] == "better"]
    harmful = [row for row in better if row["metrics"]["short"]["verdict"] == "worse"]
    fit = [row for row in better if row not in harmful]
    old = reading.subject.length
    because = [*_harmed(harmful), *_references(metric, (fit or done)[:1], references), *_cost(reading)]
    best = fit[0] if fit else done[0] if done else None
    named = {"best": best and best["method"]}
    if not fit:
        if done:
            because.insert(
                0,
                f"the best of {len(done)} is {done[0]['method']}: {_numbers(done[0], metric)}{_power(done[0], metric)}",
            )
            because.append(
                f"to write it anyway: {command} --method {shlex.quote(done[0]['method'])} --out DIR; milepost tune trains its new rows"
            )
        sentence = f"{_NONE[metric.name].format(old=old)}."
        return {"method": None, **named, "sentence": sentence, "because": because}
    best = fit[0]
    said = _BETTER[metric.name].format(old=old)
    return {
        "method": best["method"],
        **named,
        "sentence": f"{best['method']} {said}: {_numbers(best, metric)}.",
        "because": [*_alike(metric, best, fit[1:]), *_price(reading, best), *because],
    }


def _numbers(row: Mapping[str, Any], metric: ReadingMetric) -> str:
    facts = row["metrics"][metric.name]
    text = f"{facts['value']:.3f} against {facts['baseline']:.3f}"
    if facts["low"] is not None:
        text += f", difference {facts['difference']:+.3f} ({facts['low']:+.3f} to {facts['high']:+.3f})"
    return f"{text} over {len(facts['values'])} documents"


def _power(row: Mapping[str, Any], metric: ReadingMetric) -> str:
    least = row["metrics"][metric.name]["detectable"]
    return "" if least is None else f"; a true difference of {least:.3f} would be seen in four of five cases"


def _alike(
    metric: ReadingMetric, best: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Which other methods these documents cannot tell from the best."""
    values = np.array(best["metrics"][metric.name]["values"])
    p = apply_holm([
        measure_difference(_differences(np.array(one["metrics"][metric.name]["values"]), values)).p for one in others
    ])  # fmt: skip
    if alike := [one["method"] for one, level in zip(others, p, strict=True) if not level < LEVEL]:
        yield f"not told apart from it by these documents: {', '.join(alike)}"


def _price(reading: Reading, best: Mapping[str, Any]) -> Iterator[str]:
    for metric in reading.metrics:
        if best["metrics"][metric.name]["verdict"] == "worse":
            yield f"at a price: {metric.title} is worse, {_numbers(best, metric)}"


def _cost(reading: Reading) -> Iterator[str]:
    """What reading without an extension costs, and what that means for the comparison."""
    passes, tokens = np.array(reading.passes()).mean(axis=0)
    whole = np.mean([len(text.tokens) for text in reading.texts])
    if reading.deciding == "end":
        yield (
            f"overlapping windows take {passes:.1f} passes per document ({tokens:,.0f} tokens on average) where an extended model takes one "
            f"({whole:,.0f} tokens), and no window relates tokens further apart than it is long"
        )
        yield (
            "each token in a window has near context on its side, so a model that uses little else loses almost nothing there: no gain over "
            "windows does not show that an extension is bad where one pass is needed"
        )
    else:
        yield (
            f"the mean of parts takes {passes:.1f} passes per document where an extended model takes one; cutting takes one, and drops "
            f"{100 * (1 - reading.boundary / whole):.0f} % of the tokens"
        )


def _harmed(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if rows:
        names = ", ".join(row["method"] for row in rows)
        yield f"better too, but shown to be worse on inputs within the old length: {names}"


def _references(
    metric: ReadingMetric, row: Sequence[Mapping[str, Any]], references: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """What does without an extension what the best candidate does."""
    for facts in references.values():
        parts = facts["metrics"][metric.name]
        if not row:
            continue
        own = row[0]["metrics"][metric.name]
        difference = measure_difference(_differences(np.array(parts["values"]), np.array(own["values"])))
        verdict = _verdict(metric, difference, difference.p)
        decided = verdict in ("better", "worse")
        words = (
            f"{verdict} than that" if decided else "no significant difference from that on these documents"
        )
        yield (
            f"the mean of a document's parts, which needs no extension, gives {parts['value']:.3f} "
            f"against {own['value']:.3f} of {row[0]['method']}: {words}"
        )
