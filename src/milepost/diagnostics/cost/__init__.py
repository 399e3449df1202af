"""What position encodings cost, from a configuration alone."""

from milepost.diagnostics.cost.formulas import Priced, price
from milepost.diagnostics.cost.report import cost
from milepost.diagnostics.cost.shape import Shape, read_shape

__all__ = ["Priced", "Shape", "cost", "price", "read_shape"]
