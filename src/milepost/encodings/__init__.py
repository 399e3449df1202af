"""Position encodings: one file each, one abstract class, one registry."""

from milepost.encodings.alibi import AlibiPositions
from milepost.encodings.base import (
    Encoding,
    Geometry,
    Positions,
    build,
    canonical,
    register,
    registered,
    resolve,
)
from milepost.encodings.learned import LearnedPositions
from milepost.encodings.none import NoPositions
from milepost.encodings.positions import build_positions
from milepost.encodings.rotary import RotaryPositions
from milepost.encodings.sinusoidal import SinusoidalPositions
from milepost.encodings.t5 import T5Bias

__all__ = [
    "AlibiPositions",
    "Encoding",
    "Geometry",
    "LearnedPositions",
    "NoPositions",
    "Positions",
    "RotaryPositions",
    "SinusoidalPositions",
    "T5Bias",
    "build",
    "build_positions",
    "canonical",
    "register",
    "registered",
    "resolve",
]
