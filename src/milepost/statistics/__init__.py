"""Intervals, corrections and power for a handful of seeds; numpy and scipy only."""

from milepost.statistics.corrections import apply_holm, find_holm_levels
from milepost.statistics.equivalence import measure_equivalence
from milepost.statistics.intervals import (
    LEVEL,
    PairedDifference,
    measure_difference,
    measure_interval,
)
from milepost.statistics.power import POWER, measure_detectable, measure_seeds
from milepost.statistics.sequential import SequentialDifference, SequentialTest
from milepost.statistics.verdict import judge_difference, name_side, or_none

__all__ = [
    "LEVEL",
    "POWER",
    "PairedDifference",
    "SequentialDifference",
    "SequentialTest",
    "apply_holm",
    "find_holm_levels",
    "judge_difference",
    "measure_detectable",
    "measure_difference",
    "measure_equivalence",
    "measure_interval",
    "measure_seeds",
    "name_side",
    "or_none",
]
