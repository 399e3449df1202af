"""Putting an encoding into a Hugging Face model, and getting such a model back from disk."""

from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.models.families import families
from milepost.models.family import Family
from milepost.models.loading import load
from milepost.models.measuring import geometry
from milepost.models.swapping import swap

__all__ = ["Family", "ModelShape", "build_scratch", "families", "geometry", "load", "swap"]
