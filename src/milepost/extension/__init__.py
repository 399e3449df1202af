"""Methods that give a position table another number of positions, one file each."""

from milepost.extension.hierarchical import Hierarchical
from milepost.extension.linear import Linear
from milepost.extension.method import (
    Method,
    PositionRule,
    build_method,
    check_target,
    default_method,
    registered_methods,
)
from milepost.extension.rows import extend_rows

__all__ = [
    "Hierarchical",
    "Linear",
    "Method",
    "PositionRule",
    "build_method",
    "check_target",
    "default_method",
    "extend_rows",
    "registered_methods",
]
