"""MP206: rows that are equal."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts
from milepost.finding import Verdict


@CHECKS.enter("MP206", "equal rows")
def check(facts: Facts) -> Verdict:
    """Fires when positions read rows that agree in every value, zeros (MP205) and tiles (MP208) apart."""
    if facts.period is not None:
        return Verdict("not_applicable", "the table is tiled (MP208)")
    groups: dict[bytes, list[int]] = {}
    for position, row in enumerate(facts.positions + 0.0):  # -0.0 becomes 0.0
        if row.any():
            groups.setdefault(row.tobytes(), []).append(position)
    equal = [group for group in groups.values() if len(group) > 1]
    if not equal:
        return Verdict("passed", "no two rows are equal")
    rows = np.sort(np.concatenate(equal))
    return Verdict(
        "issue",
        f"{len(rows)} positions share {len(equal)} distinct rows",
        facts.where(rows),
        "every position has a row of its own",
        "positions with equal rows cannot be told apart: train them further, or shorten the table to the distinct rows",
    )
