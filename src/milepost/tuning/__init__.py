"""Extended models: the verbs ``extend`` and ``tune``, choosing a method on data, and proofs of whole models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_PUBLIC = {"Aim": "milepost.tuning.job", "Recipe": "milepost.tuning.recovery"}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from milepost.tuning.job import Aim as Aim
    from milepost.tuning.recovery import Recipe as Recipe


def __getattr__(name: str) -> object:
    if name in _PUBLIC:  # late: extend, which is of this package, never imports torch
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'milepost.tuning' has no attribute {name!r}")
