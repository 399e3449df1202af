"""MP205: rows of zeros."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts
from milepost.finding import Verdict


@CHECKS.enter("MP205", "rows of zeros")
def check(facts: Facts) -> Verdict:
    """Fires when a row that a position reads is zero in every value; the padding row may be."""
    zero = np.flatnonzero(~facts.positions.any(axis=1))
    if facts.padding_row is not None:
        zero = zero[zero + facts.start != facts.padding_row]
    if not len(zero):
        return Verdict("passed", "no position reads a row of zeros")
    return Verdict(
        "issue",
        f"{len(zero)} of {len(facts.positions)} positions read zeros",
        facts.where(zero),
        "every position has a row of its own",
        "train these rows, or fill them: milepost extend MODEL --to N --method hierarchical from the rows before them",
    )
