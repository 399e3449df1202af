"""MP208: a table that repeats itself."""

from __future__ import annotations

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts
from milepost.diagnostics.inspect.findings.period import LEAST_OVERLAP
from milepost.finding import Verdict


@CHECKS.enter("MP208", "a tiled table")
def check(facts: Facts) -> Verdict:
    """Fires when rows one period apart differ by less than 2 % of what two rows of the table differ by."""
    period = facts.period
    if period is None:
        if len(facts.positions) <= LEAST_OVERLAP:
            return Verdict(
                "cannot_tell", f"needs more than {LEAST_OVERLAP} positions, there are {len(facts.positions)}"
            )
        return Verdict("passed", "no period")
    seams = range(period, len(facts.positions), period)
    return Verdict(
        "issue",
        f"period {period}: position p reads the same row as p + {period}",
        facts.where(range(period, len(facts.positions))),
        "every position has a row of its own",
        f"train the rows from {facts.start + period} on (milepost tune), or extend again with --method hierarchical; "
        f"{len(seams)} seam{'s' if len(seams) > 1 else ''} at multiples of {period}",
    )
