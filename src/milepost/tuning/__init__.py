"""Selecting a method of extension on documents, training new rows, and patches of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_PUBLIC = {"Aim": "milepost.tuning.training.plan", "Recipe": "milepost.tuning.training.training"}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from milepost.tuning.training.plan import Aim as Aim
    from milepost.tuning.training.training import Recipe as Recipe


def __getattr__(name: str) -> object:
    if name in _PUBLIC:  # late: torch is not imported for its names
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'milepost.tuning' has no attribute {name!r}")
