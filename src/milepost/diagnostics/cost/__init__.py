"""What position encodings cost, from a configuration alone."""

from milepost.diagnostics.cost.formulas import Priced, price
from milepost.diagnostics.cost.report import price_model
from milepost.diagnostics.cost.shape import Shape, read_shape

__all__ = ["Priced", "Shape", "price", "price_model", "read_shape"]
