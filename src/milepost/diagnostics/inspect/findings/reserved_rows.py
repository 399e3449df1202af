"""MP204: reserved rows that hold values."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, name_rows
from milepost.finding import Verdict


@CHECKS.enter("MP204", "reserved rows that hold values", most="tip")
def check(facts: Facts) -> Verdict:
    """A tip when rows that the family reserves, or the padding row, are not zero: no position reads them.

    Rows of class tokens are read, and are not reserved. What rows before position 0 are for is not known without a family.
    """
    reserved = set(range(facts.prefix_rows, facts.first_row))
    if facts.padding_row is not None:
        reserved.add(facts.padding_row)
    if not reserved:
        return Verdict("not_applicable", "this table has no reserved rows")
    filled = [row for row in sorted(reserved) if np.any(facts.rows[row])]
    if not filled:
        return Verdict("passed", f"{len(reserved)} reserved rows, all zero")
    if not facts.knows_reserved_rows and facts.padding_row not in filled:
        return Verdict(
            "cannot_tell",
            f"{name_rows(filled)} before position 0: rows of a class token, or reserved ones; the family of this table is not known",
        )
    return Verdict(
        "tip",
        f"{len(filled)} of {len(reserved)} reserved rows are not zero",
        name_rows(filled),
        "zeros, or values that nothing reads",
        f"position 0 is row {facts.first_row}: keep the reserved rows out of any resizing or plot",
    )
