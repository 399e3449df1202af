"""What a model is asked to do: data, batches, loss, metrics; one file a task, one line here."""

from __future__ import annotations

import importlib

from milepost.corpus.text import BUILTINS, TextSource, read_text
from milepost.errors import UnknownName
from milepost.tasks.causal_lm import CausalLM
from milepost.tasks.task import Floor, Head, Measured, Metric, Options, Task

__all__ = [
    "BUILTINS",
    "TASKS",
    "CausalLM",
    "Floor",
    "Head",
    "Measured",
    "Metric",
    "Options",
    "Task",
    "TextSource",
    "find_task",
    "read_text",
]

TASKS: dict[str, tuple[str, str]] = {
    "causal-lm": ("causal_lm", "CausalLM"),
    "masked-lm": ("masked_lm", "MaskedLM"),
    "classify": ("classify", "Classify"),
    "tag": ("tag", "Tag"),
    "forecast": ("forecast", "Forecast"),
    "images": ("images", "Images"),
    "addition": ("symbols", "Addition"),
    "copy": ("symbols", "Copy"),
    "needle": ("symbols", "Needle"),
    "parity": ("symbols", "Parity"),
    "reverse": ("symbols", "Reverse"),
    "sorting": ("symbols", "Sorting"),
}
"""Module and class of each task; loaded when it is asked for."""


def find_task(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        UnknownName: MP104.

    >>> find_task("causal-lm").name
    'causal-lm'
    """
    if name not in TASKS:
        raise UnknownName.among("task", name, TASKS)
    module, kind = TASKS[name]
    found: type[Task] = getattr(importlib.import_module(f"milepost.tasks.{module}"), kind)
    return found
