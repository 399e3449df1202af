"""MP204: reserved rows that hold values."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.findings.facts import Facts, Verdict, finding, name_rows


@finding("MP204", "reserved rows that hold values")
def check(facts: Facts) -> Verdict:
    """A tip when rows before position 0, or the padding row, are not zero: no position reads them."""
    reserved = set(range(facts.first_row))
    if facts.padding_row is not None:
        reserved.add(facts.padding_row)
    if not reserved:
        return Verdict("not_applicable", "this family reserves no rows")
    filled = [row for row in sorted(reserved) if np.any(facts.rows[row])]
    if not filled:
        return Verdict("passed", f"{len(reserved)} reserved rows, all zero")
    return Verdict(
        "tip",
        f"{len(filled)} of {len(reserved)} reserved rows are not zero",
        name_rows(filled),
        "zeros, or values that nothing reads",
        f"position 0 is row {facts.first_row}: keep the reserved rows out of any resizing or plot",
    )
