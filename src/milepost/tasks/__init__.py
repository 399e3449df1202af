"""What a model is asked to do: data, batches, loss, metrics; one file a task, one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from milepost.corpus.text import BUILTINS, TextSource, read_text
from milepost.plugins.registry import Registry
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
    "register_task",
]

TASKS: dict[str, str] = {
    "causal-lm": "milepost.tasks.causal_lm:CausalLM",
    "masked-lm": "milepost.tasks.masked_lm:MaskedLM",
    "classify": "milepost.tasks.classify:Classify",
    "tag": "milepost.tasks.tag:Tag",
    "forecast": "milepost.tasks.forecast:Forecast",
    "images": "milepost.tasks.images:Images",
    "addition": "milepost.tasks.symbols:Addition",
    "copy": "milepost.tasks.symbols:Copy",
    "needle": "milepost.tasks.symbols:Needle",
    "parity": "milepost.tasks.symbols:Parity",
    "reverse": "milepost.tasks.symbols:Reverse",
    "sorting": "milepost.tasks.symbols:Sorting",
}
"""Module and class of each of our own tasks; loaded when it is asked for."""
_REGISTRY: Registry[Task] = Registry("task", "milepost.tasks", TASKS)
_T = TypeVar("_T", bound=type[Task])


def register_task(name: str) -> Callable[[_T], _T]:
    """Class decorator that makes a task known under ``name``, as ``--task`` takes it.

    Raises:
        OptionError: MP105, when the name is taken.
    """
    return _REGISTRY.register(name)


def find_task(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        UnknownName: MP104. PluginError: MP109, an installed package offers the name and cannot be imported.

    >>> find_task("causal-lm").name
    'causal-lm'
    """
    return _REGISTRY.find(name)
