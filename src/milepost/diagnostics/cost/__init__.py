"""What position encodings cost, from a configuration alone."""

from milepost.diagnostics.cost.formulas import FORMULAS, Formula, Sizes, Work
from milepost.diagnostics.cost.report import cost
from milepost.diagnostics.cost.shape import Shape, read_shape

__all__ = ["FORMULAS", "Formula", "Shape", "Sizes", "Work", "cost", "read_shape"]
