"""Checks of a position table, one file each; a check enters itself under its code.

A new check is one file here, one page in ``docs/findings`` and its test.
"""

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts, check_table
from milepost.finding import load_checks

load_checks(__name__, __path__)

__all__ = ["CHECKS", "Facts", "check_table"]
