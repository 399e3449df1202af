"""Putting an encoding into a Hugging Face model, and getting such a model back from disk."""

from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.models.loading import load
from milepost.models.measuring import geometry
from milepost.models.swapping import swap

__all__ = ["ModelShape", "build_scratch", "geometry", "load", "swap"]
