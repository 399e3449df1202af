"""Milepost: compare, inspect, extend and use position encodings of Transformer models.

Nothing heavy is imported until a name is used: ``import milepost`` costs a few milliseconds.
"""

TYPE_CHECKING = False  # typing is not imported: with ``python -m`` it could come from the current directory

__version__ = "0.1.0"

_PUBLIC = {
    "LearnedPositions": "milepost.encodings",
    "MilepostError": "milepost.errors",
    "check_positions": "milepost.models.check.positions",
    "choose": "milepost.api.choose",
    "compare": "milepost.api.compare",
    "cost": "milepost.api.cost",
    "doctor": "milepost.api.doctor",
    "extend": "milepost.api.extend",
    "inspect": "milepost.api.inspect",
    "load": "milepost.models",
    "patch": "milepost.api.patch",
    "report": "milepost.api.report",
    "swap": "milepost.models",
    "tune": "milepost.api.tune",
}

__all__ = sorted(["__version__", *_PUBLIC])

if TYPE_CHECKING:
    from milepost.api.choose import choose as choose
    from milepost.api.compare import compare as compare
    from milepost.api.cost import cost as cost
    from milepost.api.doctor import doctor as doctor
    from milepost.api.extend import extend as extend
    from milepost.api.inspect import inspect as inspect
    from milepost.api.patch import patch as patch
    from milepost.api.report import report as report
    from milepost.api.tune import tune as tune
    from milepost.encodings import LearnedPositions as LearnedPositions
    from milepost.errors import MilepostError as MilepostError
    from milepost.models import load as load
    from milepost.models import swap as swap
    from milepost.models.check.positions import check_positions as check_positions


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        import importlib

        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'milepost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
