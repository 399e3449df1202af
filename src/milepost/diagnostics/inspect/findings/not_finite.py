"""MP207: values that are not finite."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, name_rows
from milepost.finding import Verdict


@CHECKS.enter("MP207", "values that are not finite")
def check(facts: Facts) -> Verdict:
    """Fires on any NaN or infinity in the stored table, reserved rows included."""
    bad = np.flatnonzero(~np.isfinite(facts.rows).all(axis=1))
    if not len(bad):
        return Verdict("passed", "all values are finite")
    return Verdict(
        "issue",
        f"NaN or infinity in {len(bad)} of {len(facts.rows)} rows",
        name_rows(bad.tolist()),
        "finite values",
        "take an earlier checkpoint; one such row makes every output that reads it NaN",
    )
