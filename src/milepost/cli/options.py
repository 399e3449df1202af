"""Options that take their defaults from the function of their verb: the command line has none of its own."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options_of(verb: Callable[..., Any]) -> Callable[..., Decorator]:
    """Make options of the parameters of ``verb``, by name: ``--train-length`` has the default of ``train_length``.

    The module of the verb must import nothing heavy at its top, for ``--help`` reads it.

    Raises:
        KeyError: when the option is used whose name is not that of a parameter.
    """
    parameters = inspect.signature(verb).parameters

    def option(*names: str, **attributes: Any) -> Decorator:
        default = parameters[name_of(*names)].default
        if default is inspect.Parameter.empty:
            return click.option(*names, required=True, **attributes)
        attributes.setdefault("show_default", default is not None and not isinstance(default, bool))
        return click.option(*names, default=default, **attributes)

    return option


def name_of(*names: str) -> str:
    """The parameter that an option sets; of a word that Python keeps for itself, its plural.

    >>> name_of("--header/--no-header"), name_of("-n", "--train-length"), name_of("--import")
    ('header', 'train_length', 'imports')
    """
    name = max((one.partition("/")[0] for one in names), key=len).lstrip("-").replace("-", "_")
    return f"{name}s" if keyword.iskeyword(name) else name
