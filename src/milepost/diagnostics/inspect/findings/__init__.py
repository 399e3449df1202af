"""Checks of a position table, one file each; a check enters itself under its code.

A new check is one file here, one line below, and one page in ``docs/findings``.
"""

from milepost.diagnostics.inspect.findings import (  # noqa: F401  (each enters its check when it is imported)
    duplicate_rows,
    first_row,
    interpolated,
    last_row,
    never_trained,
    no_order,
    norm_step,
    not_finite,
    reserved_rows,
    tiled,
    undertrained_tail,
    zero_rows,
)
from milepost.diagnostics.inspect.findings.facts import FINDINGS, Facts, Verdict, check_table, finding

__all__ = ["FINDINGS", "Facts", "Verdict", "check_table", "finding"]
