"""Checks of a model's folder; each enters itself under its code.

A new check is one function in one of these files, or in a file of its own, one page in ``docs/doctor`` and its test.
"""

from milepost.finding import load_checks

load_checks(__name__, __path__)
