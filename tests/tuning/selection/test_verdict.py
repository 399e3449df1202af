"""What is recommended, from numbers whose best is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from milepost.tuning.selection.evaluation import LossReading, Outcome, PassageReading, ReadingMetric
from milepost.tuning.selection.verdict import compare_outcomes, recommend

DOCUMENTS = 20


def reading(*, ranks: bool = False) -> Any:
    metrics: tuple[ReadingMetric, ...] = (ReadingMetric("end", "loss past the old length", False), ReadingMetric("short", "loss of short inputs", False))  # fmt: skip
    kind: Any = LossReading
    if ranks:
        kind, metrics = PassageReading, PassageReading.metrics
    return SimpleNamespace(
        metrics=metrics, deciding=kind.deciding, boundary=8, subject=SimpleNamespace(length=8),
        texts=[SimpleNamespace(tokens=np.arange(20))], passes=lambda: [(4, 32)],
    )  # fmt: skip


def outcome(seed: int, shift: float = 0.0, short: float = 0.0, noise: float = 0.1, names: Any = ("end", "short")) -> Outcome:  # fmt: skip
    random = np.random.default_rng(seed)
    base = np.linspace(1, 3, DOCUMENTS)
    values = {name: base + shift + noise * random.normal(size=DOCUMENTS) for name in names}
    values["short"] = base + short + (noise * random.normal(size=DOCUMENTS) if short else 0)
    return Outcome(values, np.arange(20), np.arange(20.0))


def rows(candidates: dict[str, Outcome], asked: Any, before: Outcome) -> list[dict[str, Any]]:
    found = compare_outcomes(asked, before, candidates)
    return [{"method": name, "status": "done"} | facts for name, facts in found.items()]


def test_the_best_of_those_that_help_is_recommended_and_its_equals_are_named() -> None:
    candidates = {"a": outcome(1, -0.3), "b": outcome(2, -0.6), "c": outcome(3, -0.61), "d": outcome(4, 0.5)}
    before = outcome(0)
    found = rows(candidates, reading(), before)
    advice = recommend(reading(), found, {})
    best, other = sorted("bc", key=lambda name: found["abcd".index(name)]["metrics"]["end"]["value"])
    assert advice["method"] == best
    assert advice["because"][0] == f"not told apart from it by these documents: {other}"
    assert advice["best"] == best
    assert found[3]["metrics"]["end"]["verdict"] == "worse"
    facts = found[0]["metrics"]["end"]
    assert facts["low"] < facts["difference"] < facts["high"] < 0
    assert facts["difference"] == pytest.approx(facts["value"] - facts["baseline"])
    assert facts["p"] <= facts["p_adjusted"]


def test_what_harms_short_inputs_is_never_recommended() -> None:
    candidates = {"harmful": outcome(1, -0.9, short=0.3), "kind": outcome(2, -0.4)}
    advice = recommend(reading(), rows(candidates, reading(), outcome(0)), {})
    assert advice["method"] == "kind"
    assert any("short" in text or "within the old length: harmful" in text for text in advice["because"])
    alone = {"harmful": candidates["harmful"]}
    assert recommend(reading(), rows(alone, reading(), outcome(0)), {})["method"] is None


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_none_is_recommended_where_none_is_shown_to_help(shift: float) -> None:
    candidates = {str(seed): outcome(seed, shift) for seed in range(1, 5)}
    advice = recommend(reading(), rows(candidates, reading(), outcome(0)), {})
    assert advice["method"] is None
    assert (
        advice["sentence"]
        == "No method is shown to be better than reading in overlapping windows of 8 positions."
    )
    assert advice["because"][0].startswith("the best of 4 is")
    assert "a true difference of 0." in advice["because"][0]
    assert advice["because"][-1].startswith(
        f"to write it anyway: milepost extend MODEL --to N --method {advice['best']} "
    )


def test_it_is_said_what_windows_cost_and_what_they_hide() -> None:
    for shift in (-0.6, 0.4):
        advice = recommend(reading(), rows({"a": outcome(1, shift)}, reading(), outcome(0)), {})
        text = " ".join(advice["because"])
        assert (
            "windows take 4.0 passes per document (32 tokens on average) where an extended model takes one (20 tokens)"
            in text
        )
        assert "does not show that an extension is bad" in text
    ranks = recommend(reading(ranks=True), [], {})
    assert "the mean of parts takes 4.0 passes" in ranks["because"][-1]
    assert "drops 60 % of the tokens" in ranks["because"][-1]


def test_more_is_better_for_ranks_and_what_needs_no_extension_is_named() -> None:
    asked = reading(ranks=True)
    names = [metric.name for metric in asked.metrics]
    before = outcome(0, names=names)
    candidates = {"a": outcome(1, 0.5, names=names), "b": outcome(2, -0.5, names=names)}
    references = compare_outcomes(asked, before, {"parts": outcome(5, 0.9, names=names)})
    advice = recommend(asked, rows(candidates, asked, before), references)
    assert advice["method"] == "a"
    assert "lets passages find their documents better" in advice["sentence"]
    assert any("better than that" in text for text in advice["because"])
    falling = {"b": candidates["b"]}
    assert recommend(asked, rows(falling, asked, before), references)["method"] is None


def test_a_price_is_said() -> None:
    asked = reading()
    asked.metrics = (*asked.metrics, ReadingMetric("start", "loss within it", False))
    before, one = (outcome(seed, names=("end", "short", "start")) for seed in (0, 1))
    one.values["end"][:] -= 0.5  # type: ignore[index]
    one.values["start"][:] += 0.5  # type: ignore[index]
    advice = recommend(asked, rows({"a": one}, asked, before), {})
    assert advice["method"] == "a"
    assert advice["because"][0].startswith("at a price: loss within it is worse")


def test_candidates_that_were_refused_are_passed_over() -> None:
    refused = {"method": "x", "status": "refused", "reason": "why"}
    advice = recommend(reading(), [refused], {})
    assert (advice["method"], advice["best"]) == (None, None)
    assert advice["sentence"].startswith(
        "No method is shown to be better than reading in overlapping windows"
    )
    assert not any("anyway" in text for text in advice["because"])


def test_rounding_is_no_difference() -> None:
    before = outcome(0)
    close = Outcome({name: values + 1e-8 for name, values in before.values.items()}, before.positions, before.scores)  # fmt: skip
    metrics = compare_outcomes(reading(), before, {"a": close})["a"]["metrics"]
    assert {one["verdict"] for one in metrics.values()} == {"same"}


def test_one_in_twenty_choices_at_most_recommends_what_does_nothing() -> None:
    random = np.random.default_rng(0)

    def draw(base: np.ndarray) -> Outcome:
        values = {"end": base + random.normal(size=DOCUMENTS), "short": base}
        return Outcome(values, np.arange(3), np.ones(3))

    wrong = 0
    for _ in range(300):
        base = random.normal(size=DOCUMENTS)
        before = draw(base)
        found = rows({str(index): draw(base) for index in range(8)}, reading(), before)
        wrong += recommend(reading(), found, {})["method"] is not None
    assert wrong <= 300 * 0.05 + 2.33 * np.sqrt(300 * 0.05 * 0.95)  # 99 % of experiments with a rate of 5 %
    assert wrong > 0  # a rule that never speaks would pass
