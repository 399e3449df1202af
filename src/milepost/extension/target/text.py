"""Sequences: tables that get more rows, tables that a rule reads, and sinusoids that follow their formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from milepost.errors import ExtendRefused, OptionError
from milepost.extension.fields import change_length, change_segment, dig, path_of
from milepost.extension.methods.base import Method, check_target
from milepost.extension.methods.sinusoid import Sinusoid
from milepost.extension.target.base import Pairs, Size, Target, refuse_disagreement, require_rows
from milepost.tables import PREFIX, RULES, Checkpoint, Match, segment_of, stacks_by_type, step_of

COMPUTED = "sinusoids are computed for any length: raise the lengths in config.json, and leave stored ones out of the file"
"""What to do with a model whose sinusoids no extension changes."""


def rule_types() -> list[str]:
    """Model types whose tables a position rule can read: text families that ``milepost.load`` knows."""
    return [name for name, stacks in stacks_by_type().items() if all(stack.takes_rules for stack in stacks)]


def text_target(checkpoint: Checkpoint, paired: Pairs, to: Size, method: Method) -> Target:
    """Every table gets as many rows more as the meant one.

    Raises:
        OptionError: MP105, a target that fits neither table nor method. ExtendRefused: MP123.
    """
    table, match = paired[0]
    if isinstance(to, tuple) or method.kind == "image":
        raise OptionError(
            "this table holds positions of a sequence, not of an image",
            got=f"{to} by {method.spec}",
            fix="give one number, and a method for text",
        )
    if match is not None:
        _refuse_half_windows(match, to)
    more = to - table.usable_length
    wanted = tuple(one.usable_length + more for one, _ in paired)
    old = dig(checkpoint.config, path_of(match)) if match else None
    config, fields = change_length(checkpoint, match, old + more if isinstance(old, int) else None)
    if match and segment_of(match):
        config, fields = change_segment(config, fields, match, to)
    target = Target(paired, method, table.usable_length, to, wanted, config, fields)
    require_rows(checkpoint, target, [len(one.rows) + more for one, _ in paired])
    return target


def _refuse_half_windows(match: Match, to: int) -> None:
    """Where the model embeds the pads that fill a window (LED, BigBird), the table must hold them."""
    step, segment = step_of(match, to), segment_of(match)
    if to % step:
        raise OptionError(
            "the length is not a whole number of attention windows",
            got=f"{to} positions, windows of {step}",
            fix=f"ask for {to + -to % step}",
        )
    if segment and to % segment[1]:
        raise OptionError(
            "the length is no multiple of num_landmarks",
            got=f"{to} positions, {segment[1]} landmarks",
            fix=f"ask for {to + -to % segment[1]}",
        )


def rule_target(checkpoint: Checkpoint, paired: Pairs, to: Size, method: Method) -> Target:
    """The tables stay as they are, and so does all that says how many rows they have; stock loaders must refuse."""
    table, match = paired[0]
    if method.name not in RULES:
        raise ExtendRefused(
            "milepost.load does not know this position rule",
            got=method.name,
            fix=f"take one of {', '.join(RULES)}, or write a method that stores rows: a TextMethod",
        )
    if isinstance(to, tuple):
        raise OptionError("a rule is for positions of a sequence", got=f"{to}", fix="give one number")
    if checkpoint.model_type not in rule_types() or match is None or match.path:
        raise ExtendRefused(
            "Milepost's loader cannot let this model's positions find their rows by a rule",
            got=f"model_type {checkpoint.model_type!a}",
            fix="tile stores the rows that recur reads; for rules: " + ", ".join(rule_types()),
        )
    check_target(method, table.usable_length, to)
    fresh = {
        "model_type": PREFIX + checkpoint.model_type,
        "attn_implementation": PREFIX + "sdpa",  # so that stock classes asked directly refuse it as well
    }
    config = checkpoint.config
    fields = tuple(((name,), config.get(name), new) for name, new in fresh.items())
    same = tuple(one.usable_length for one, _ in paired)
    return Target(paired, method, table.usable_length, to, same, config, fields)


def sinusoid_target(
    checkpoint: Checkpoint, matches: Mapping[str, Match], to: Size, method: Method | None
) -> Target:
    """Sinusoids are made, not learned: stored ones by their formula, the others by the model from its configuration."""
    tables, family = checkpoint.tables, checkpoint.family
    layout = matches[tables[0].key].form.waves if tables else None
    field = (family.computed or "") if family and not tables else ""
    old: Any = checkpoint.config.get(field)
    if method is not None or isinstance(to, tuple) or (layout is None and type(old) is not int):
        asked = f", asked for {method.spec}" if method else ""
        raise ExtendRefused(
            "fixed sinusoids follow their formula, and no method",
            got=f"{checkpoint.model_type!a} knows positions by: fixed sinusoid{asked}",
            fix="leave the method out" if method else COMPUTED,
        )
    if layout is not None:
        refuse_disagreement(checkpoint, tables)
        return text_target(checkpoint, tuple((one, matches[one.key]) for one in tables), to, Sinusoid(layout))
    check_target(Sinusoid(), old, to)
    return Target((), Sinusoid(), old, to, (), {**checkpoint.config, field: to}, (((field,), old, to),))
