"""The catalogue of encodings: what can be said of them without building them, and without torch."""

from milepost.catalog.builtin import table_row
from milepost.catalog.geometry import Geometry, Sizes
from milepost.catalog.row import (
    BUILT_IN,
    CLASSES,
    KEPT,
    CostFormula,
    EncodingRow,
    Work,
    canonical,
    find_row,
    read_spec,
    require,
    require_causal,
    require_grid,
    require_loaded,
    rows,
)

__all__ = [
    "BUILT_IN",
    "CLASSES",
    "KEPT",
    "CostFormula",
    "EncodingRow",
    "Geometry",
    "Sizes",
    "Work",
    "canonical",
    "find_row",
    "read_spec",
    "require",
    "require_causal",
    "require_grid",
    "require_loaded",
    "rows",
    "table_row",
]
