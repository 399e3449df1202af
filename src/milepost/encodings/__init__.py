"""Position encodings: one file each, one abstract class, one registry."""

from milepost.catalog import Geometry, canonical
from milepost.encodings.alibi import AlibiPositions
from milepost.encodings.base import (
    Encoding,
    Positions,
    build,
    classes_in,
    register,
    registered,
    resolve,
    settle,
)
from milepost.encodings.fire import FireBias
from milepost.encodings.front import FrontShape, TokenAndPositionEmbedding
from milepost.encodings.kerple import KerpleBias
from milepost.encodings.learned import LearnedPositions
from milepost.encodings.learned2d import Learned2dPositions
from milepost.encodings.low_rank import LowRankPositions
from milepost.encodings.none import NoPositions
from milepost.encodings.positions import build_positions, build_shard_positions
from milepost.encodings.remapped import RandomizedPositions, ShiftedPositions
from milepost.encodings.rotary import RotaryPositions
from milepost.encodings.rotary2d import Rotary2dPositions
from milepost.encodings.row_table import RowTable, build_table
from milepost.encodings.sandwich import SandwichBias
from milepost.encodings.shaw import ShawKeys
from milepost.encodings.sinusoidal import SinusoidalPositions
from milepost.encodings.sinusoidal2d import Sinusoidal2dPositions
from milepost.encodings.t5 import T5Bias
from milepost.encodings.xpos import XPos

__all__ = [
    "AlibiPositions",
    "Encoding",
    "FireBias",
    "FrontShape",
    "Geometry",
    "KerpleBias",
    "Learned2dPositions",
    "LearnedPositions",
    "LowRankPositions",
    "NoPositions",
    "Positions",
    "RandomizedPositions",
    "Rotary2dPositions",
    "RotaryPositions",
    "RowTable",
    "SandwichBias",
    "ShawKeys",
    "ShiftedPositions",
    "Sinusoidal2dPositions",
    "SinusoidalPositions",
    "T5Bias",
    "TokenAndPositionEmbedding",
    "XPos",
    "build",
    "build_positions",
    "build_shard_positions",
    "build_table",
    "canonical",
    "classes_in",
    "register",
    "registered",
    "resolve",
    "settle",
]
