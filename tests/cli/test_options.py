"""The command line has the options of the library: the same names, the same defaults."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import milepost
from milepost.cli import VERBS
from milepost.cli.options import name_of, options_of

SHOWN = {"as_json", "quiet", "form", "live"}
"""Options that are about printing alone."""
PAGES = {"compare": {"html", "log"}}
"""Options that render a result; milepost.report does so from the run folder."""
PYTHON = {"on_progress", "on_plan", "on_written"}
"""Parameters that take a function."""
WITHOUT_OPTION = {
    "tune": {"weight_decay"},
    "compare": {"weight_decay", "warmup_share", "clip", "betas", "checkpoint_seconds"},
}


def differences(verb: str, command: click.Command, function: Callable[..., Any]) -> list[str]:
    """Where the options of a command are not the parameters of its function."""
    parameters = inspect.signature(function).parameters
    context, wrong = click.Context(command), []
    for one in command.params:
        if one.name in SHOWN | PAGES.get(verb, set()) or not one.expose_value:
            continue
        if one.name not in parameters:
            wrong.append(f"{one.name} is no parameter")
            continue
        default = parameters[one.name].default
        if isinstance(one, click.Option):
            if name_of(*one.opts) != one.name:
                wrong.append(f"{one.opts[0]} sets {one.name}")
            if one.required != (default is inspect.Parameter.empty):
                wrong.append(f"{one.name} is required in one place only")
            elif not one.required and one.get_default(context) != default:
                wrong.append(f"{one.name} is {one.get_default(context)!r}, not {default!r}")
    unknown = parameters.keys() - {one.name for one in command.params} - PYTHON
    return wrong + [f"{name} is no option" for name in sorted(unknown - WITHOUT_OPTION.get(verb, set()))]


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_a_parameter_of_the_same_name_and_default(verb: str) -> None:
    command = importlib.import_module(VERBS[verb]).command
    assert differences(verb, command, getattr(milepost, verb)) == []


def verb(model: str, *, length: int = 3, header: bool = True, on_progress: None = None) -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([click.option("--length", default=4), click.option("--header/--no-header", default=True)], "length is 4, not 3"),
        ([click.option("--length", default=3), click.option("--no-header", is_flag=True)], "no_header is no parameter"),
        ([click.option("--size", "length", default=3), click.option("--header/--no-header", default=True)], "--size sets length"),
        ([click.option("--length", default=3)], "header is no option"),
        ([click.option("--length", required=True), click.option("--header/--no-header", default=True)], "length is required"),
        ([options_of(verb)("--length"), options_of(verb)("--header/--no-header")], ""),
    ],
)  # fmt: skip
def test_an_option_that_differs_is_found(options: list[Any], said: str) -> None:
    function: Any = click.argument("model")(lambda **_: None)
    for option in options:
        function = option(function)
    wrong = differences("verb", click.command()(function), verb)
    assert wrong == [] if not said else said in wrong[0]


def test_an_option_without_a_parameter_is_no_option() -> None:
    with pytest.raises(KeyError):
        options_of(verb)("--size")


def defaults_in(source: str) -> list[str]:
    """Options whose default is written in the source, but for those about printing."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        str(call.args[0].value)
        for call in calls
        if ast.unparse(call.func) in ("option", "click.option") and call.args
        if isinstance(call.args[0], ast.Constant) and call.args[0].value != "--format"
        if any(keyword.arg == "default" for keyword in call.keywords)
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_no_default_is_written_in_the_command_line(verb: str) -> None:
    assert defaults_in(Path(str(importlib.import_module(VERBS[verb]).__file__)).read_text("utf-8")) == []


def test_a_default_that_is_written_there_is_found() -> None:
    assert defaults_in("@click.option('--steps', default=3)\ndef command(): ...") == ["--steps"]
