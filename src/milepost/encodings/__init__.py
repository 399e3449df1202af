"""Position encodings: one file each, one abstract class, one registry."""

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

__all__ = [
    "Encoding",
    "Geometry",
    "LearnedPositions",
    "NoPositions",
    "Positions",
    "build",
    "build_positions",
    "canonical",
    "register",
    "registered",
    "resolve",
]
