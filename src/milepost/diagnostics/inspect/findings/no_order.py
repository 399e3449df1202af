"""MP211: a table with no more order than random rows have."""

from __future__ import annotations

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts
from milepost.finding import Verdict

# measure: whether more is better
_EVIDENCE = {
    "order_accuracy": True,
    "reverse_mapping_error": False,
    "monotonicity": True,
    "low_frequency_share": True,
    "neighbour_cosine": True,
}
_SPREADS = 4.0


@CHECKS.enter("MP211", "no more order than random rows have", most="tip")
def check(facts: Facts) -> Verdict:
    """A tip when none of five measures is better than chance by 4 of its standard deviations."""
    seen = {}
    for name, more in _EVIDENCE.items():
        value, level = facts.values.get(name), facts.chance.get(name)
        if value is None or level is None:
            continue
        spread = (level.high - level.low) / (2 * 1.96)
        seen[name] = (value - level.mean) / spread * (1 if more else -1)
    if len(seen) < 2:
        return Verdict(
            "cannot_tell",
            "no chance levels for this size",
            fix="simulate them: milepost inspect MODEL --chance",
        )
    best = max(seen, key=lambda name: seen[name])
    level = facts.chance[best]
    got = f"best is {best}: {facts.values[best]:.4g}, random rows {level.mean:.4g} ({level.low:.4g} to {level.high:.4g})"
    if seen[best] > _SPREADS:
        return Verdict("passed", got)
    return Verdict(
        "tip",
        got,
        facts.where(range(len(facts.positions))),
        f"one measure at least {_SPREADS:g} standard deviations better than chance",
        "rows may still be told apart, but hold no order: train longer, or start them smaller",
    )
