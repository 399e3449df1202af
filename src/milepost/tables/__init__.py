"""Position tables in checkpoints: families as data, and reading without building a model."""

from milepost.tables.checkpoint import Checkpoint, PositionTable, TensorEntry
from milepost.tables.families import FAMILIES, Family, Part, TableForm, family_of

__all__ = [
    "FAMILIES",
    "Checkpoint",
    "Family",
    "Part",
    "PositionTable",
    "TableForm",
    "TensorEntry",
    "family_of",
]
