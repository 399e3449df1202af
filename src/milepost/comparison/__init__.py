"""Matched models that differ in their position encoding alone, and what the differences mean.

Names are loaded when they are used: statistics over finished trials do not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_PUBLIC = {
    "Design": "milepost.comparison.design",
    "Job": "milepost.comparison.plan",
    "Model": "milepost.comparison.design",
    "Plan": "milepost.comparison.plan",
    "Progress": "milepost.comparison.plan",
    "Scale": "milepost.comparison.workers.scale",
    "Training": "milepost.comparison.design",
    "Trial": "milepost.comparison.design",
    "Sweep": "milepost.comparison.sweep",
}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from milepost.comparison.design import Design as Design
    from milepost.comparison.design import Model as Model
    from milepost.comparison.design import Training as Training
    from milepost.comparison.design import Trial as Trial
    from milepost.comparison.plan import Job as Job
    from milepost.comparison.plan import Plan as Plan
    from milepost.comparison.plan import Progress as Progress
    from milepost.comparison.sweep import Sweep as Sweep
    from milepost.comparison.workers.scale import Scale as Scale


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'milepost.comparison' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
