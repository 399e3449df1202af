"""Methods that give a position table another number of positions, one file each.

A new method is one file here, one line below, and one row in ``docs/extension.md``.
"""

# ruff: noqa: F401 (methods are imported to be registered)
from milepost.extension.methods.base import (
    Method,
    PositionRule,
    TextMethod,
    build_method,
    check_target,
    default_candidates,
    default_method,
    option_field,
    register_method,
    registered_methods,
)
from milepost.extension.methods.extend_rows import extend_rows

# isort: off
# the order is that of help texts and of the candidates of `choose`; a file comes after those that it imports
from milepost.extension.methods.tile import Tile
from milepost.extension.methods.hierarchical import Hierarchical
from milepost.extension.methods.linear import Linear
from milepost.extension.methods.cubic import Cubic
from milepost.extension.methods.keep import Keep
from milepost.extension.methods.normal import Normal
from milepost.extension.methods.right import Right
from milepost.extension.methods.reflect import Reflect
from milepost.extension.methods.mean import Mean
from milepost.extension.methods.sinusoid_fit import SinusoidFit
from milepost.extension.methods.zeros import Zeros
from milepost.extension.methods.group import Group
from milepost.extension.methods.recur import Recur
from milepost.extension.methods.crop import Crop
from milepost.extension.methods.bicubic import Bicubic
# isort: on

__all__ = [
    "Method",
    "PositionRule",
    "TextMethod",
    "build_method",
    "check_target",
    "default_candidates",
    "default_method",
    "extend_rows",
    "option_field",
    "register_method",
    "registered_methods",
]
