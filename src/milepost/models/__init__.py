"""Putting an encoding into a Hugging Face model, and getting such a model back from disk."""

from milepost.models.building.gpt2 import build_gpt2
from milepost.models.families import families
from milepost.models.family import Family
from milepost.models.loading import load
from milepost.models.measuring import geometry
from milepost.models.swapping import swap

__all__ = ["Family", "build_gpt2", "families", "geometry", "load", "swap"]
