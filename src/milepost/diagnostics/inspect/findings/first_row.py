"""MP210: a first row unlike the others."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, median_of
from milepost.diagnostics.inspect.findings.tail import read_tail
from milepost.finding import Verdict

_LEAST_ROWS = 16
_SPREADS = 8.0
_RATIO = 1.5


@CHECKS.enter("MP210", "an outlier in the first row", most="tip")
def check(facts: Facts) -> Verdict:
    """A tip when position 0's norm is 1.5 times more or less than the median and 8 robust standard deviations off it."""
    if facts.kind == "patches":
        return Verdict("not_applicable", "position 0 is a patch like any other")
    if len(facts.norms) < _LEAST_ROWS:
        return Verdict("cannot_tell", f"needs {_LEAST_ROWS} positions, there are {len(facts.norms)}")
    others = facts.norms[1 : read_tail(facts).start]  # rows that were never trained are no measure
    if len(others) < _LEAST_ROWS // 2:
        others = facts.norms[1:]
    first, median = facts.norms[0], median_of(others)
    spread = 1.4826 * median_of(np.abs(others - median))
    far = abs(first - median) > _SPREADS * spread
    ratio = first / median if median else 1.0
    if not far or 1 / _RATIO < ratio < _RATIO:
        return Verdict("passed", f"norm {first:.4g}, median of the others {median:.4g}")
    return Verdict(
        "tip",
        f"norm {first:.4g}, median of the others {median:.4g}",
        facts.where([0]),
        f"between {median / _RATIO:.4g} and {median * _RATIO:.4g}, or within {_SPREADS:g} robust standard deviations",
        'usual for a start token; keep this row as it is when the table is stretched: --method "keep(first=1)"',
    )
