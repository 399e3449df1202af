"""Methods that give a position table another number of positions, one file each.

A new method is one file here, one line below, and one row in ``docs/extension.md``.
"""

from milepost.extension.bicubic import Bicubic
from milepost.extension.crop import Crop
from milepost.extension.cubic import Cubic
from milepost.extension.group import Group
from milepost.extension.hierarchical import Hierarchical
from milepost.extension.keep import Keep
from milepost.extension.linear import Linear
from milepost.extension.mean import Mean
from milepost.extension.method import (
    Method,
    PositionRule,
    build_method,
    check_target,
    default_method,
    registered_methods,
)
from milepost.extension.normal import Normal
from milepost.extension.recur import Recur
from milepost.extension.reflect import Reflect
from milepost.extension.right import Right
from milepost.extension.rows import extend_rows
from milepost.extension.sinusoid_fit import SinusoidFit
from milepost.extension.tile import Tile
from milepost.extension.zeros import Zeros

__all__ = [
    "Bicubic",
    "Crop",
    "Cubic",
    "Group",
    "Hierarchical",
    "Keep",
    "Linear",
    "Mean",
    "Method",
    "Normal",
    "PositionRule",
    "Recur",
    "Reflect",
    "Right",
    "SinusoidFit",
    "Tile",
    "Zeros",
    "build_method",
    "check_target",
    "default_method",
    "extend_rows",
    "registered_methods",
]
