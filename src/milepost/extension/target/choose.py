"""Which tables grow together and to what, or why a model cannot be given another length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.errors import ExtendRefused, NoTable, OptionError
from milepost.extension.fields import (
    Path,
    change_length,
    change_patch_counts,
    change_segment,
    dig,
    path_of,
)
from milepost.extension.methods.base import Grid, Method, build_method, check_target, default_method
from milepost.extension.methods.sinusoid import Sinusoid
from milepost.extension.target.image import Size, image_value, pixels, times
from milepost.extension.target.refusals import (
    INSTEAD,
    refusal,
    refuse_disagreement,
    refuse_half_segments,
    refuse_half_windows,
    refuse_tiles,
)
from milepost.tables import (
    PREFIX,
    RULES,
    Checkpoint,
    Match,
    PositionTable,
    read_rule,
    recognise,
    segment_of,
    stacks_by_type,
)


def rule_types() -> list[str]:
    """Model types whose tables a position rule can read: text families that ``milepost.load`` knows."""
    return [name for name, stacks in stacks_by_type().items() if all(stack.takes_rules for stack in stacks)]


@dataclass(frozen=True, eq=False)
class Target:
    """Tables that one field of the configuration makes as long as they are, and what they become.

    Attributes:
        tables: those that grow, each with the family's row of data; None where the family is unknown. Empty where the model
            computes its positions.
        method: how.
        old: the length today: usable positions, for images the size in pixels.
        new: the length wanted.
        grids: what each table is extended to: usable positions, or a grid of patches.
        config: the configuration as it will be.
        fields: changed fields of the configuration: path, old value, new value.
    """

    tables: tuple[tuple[PositionTable, Match | None], ...]
    method: Method
    old: Size
    new: Size
    grids: tuple[int | Grid, ...]
    config: Mapping[str, Any]
    fields: tuple[tuple[Path, Any, Any], ...]

    @property
    def old_patches(self) -> int:
        """Patches of an image today; 0 for text."""
        return math.prod(self.tables[0][0].grid or (0,)) if self.is_image else 0

    @property
    def new_patches(self) -> int:
        """Patches of an image then; 0 for text."""
        grid = self.grids[0] if self.is_image else 0
        return grid if isinstance(grid, int) else math.prod(grid)

    @property
    def is_image(self) -> bool:
        """Whether lengths are pixels."""
        return bool(self.tables) and is_image(self.tables[0][0])


def is_image(table: PositionTable) -> bool:
    """Whether a table has a grid of patches."""
    return table.kind == "patches"


def choose_target(
    checkpoint: Checkpoint, to: Size, method: str | Method | None, tensor: str | None
) -> Target:
    """Find the tables that are meant and lay out what they become; refuse what cannot be done, with the reason.

    Raises:
        ExtendRefused: MP123, no table, or one that an extension would break. NoTable: MP122, several could be meant.
        OptionError: MP105, a target that fits neither table nor method. DataError: MP110, configuration and table disagree.
    """
    chosen = build_method(method) if isinstance(method, str) else method
    if (rule := read_rule(checkpoint.config)) is not None:
        raise ExtendRefused(
            f"this model's positions find their rows by a rule already: {rule.spec}",
            got=f"{rule.rows} rows, a limit of {rule.to_length}",
            fix="extend the model that it was made from",
        )
    if str(checkpoint.config.get("model_type", "")).startswith(PREFIX):
        raise ExtendRefused(
            "this model's table was swapped in, and its record says how long it is",
            got=f"model_type {ascii(checkpoint.config['model_type'])[:80]}",
            fix="extend the model as it was before, then swap: milepost.swap(model, 'learned')",
        )
    matches = _matches(checkpoint)
    if checkpoint.positions_by == "fixed_sinusoid":
        return _sinusoid_target(checkpoint, matches, to, chosen)
    tables = _choose(checkpoint, matches, to, chosen, tensor)
    table = tables[0]
    chosen = chosen or default_method("image" if is_image(table) else "text")
    refuse_disagreement(checkpoint, tables)
    paired = tuple((one, matches.get(one.key)) for one in tables)
    if is_image(table):
        return _image_target(checkpoint, paired, to, chosen)
    if chosen.position_rule:
        return _rule_target(checkpoint, paired, to, chosen)
    return _text_target(checkpoint, paired, to, chosen)


def _sinusoid_target(
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
            fix="leave the method out" if method else INSTEAD["fixed_sinusoid"],
        )
    if layout is not None:
        refuse_disagreement(checkpoint, tables)
        return _text_target(
            checkpoint, tuple((one, matches[one.key]) for one in tables), to, Sinusoid(layout)
        )
    check_target(Sinusoid(), old, to)
    return Target((), Sinusoid(), old, to, (), {**checkpoint.config, field: to}, (((field,), old, to),))


def _matches(checkpoint: Checkpoint) -> dict[str, Match]:
    if checkpoint.family is None:
        return {}
    return {match.key: match for match in recognise(checkpoint.config, checkpoint.tensors)[2]}


def _choose(
    checkpoint: Checkpoint, matches: Mapping[str, Match], to: Size, method: Method | None, tensor: str | None
) -> list[PositionTable]:
    """The table that is meant, and all others that the same field makes as long as it is."""
    learned = [one for one in checkpoint.tables if one.kind != "fixed_sinusoid"]
    movable = [
        one
        for one in learned
        if (one.form is None or one.form.resizable) and not _is_bound(matches.get(one.key))
    ]
    if tensor is not None:
        checkpoint.table(tensor)  # says so where there is none of this name
        meant = [one for one in movable if one.key == tensor]
    else:
        kind = method.kind if method else "image" if isinstance(to, tuple) else None
        meant = [one for one in movable if kind is None or is_image(one) == (kind == "image")] or movable
    if not meant:
        raise refusal(checkpoint, learned, to)
    fields = {one.length_field or one.key for one in meant}
    if len(fields) > 1:
        raise NoTable(
            "which table is meant is not clear",
            got=", ".join(f"{one.key!a} ({one.role})" for one in meant),
            fix="choose one: --tensor KEY",
        )
    field = fields.pop()
    return meant[:1] + [one for one in movable if one is not meant[0] and one.length_field == field]


def _is_bound(match: Match | None) -> bool:
    """Whether attention knows distances of its own up to the table's length, so that it cannot grow alone."""
    if match is None or match.family.positions_by != "relative_bias":
        return False
    return bool(match.config.get("relative_attention", True))


def _text_target(
    checkpoint: Checkpoint, paired: tuple[tuple[PositionTable, Match | None], ...], to: Size, method: Method
) -> Target:
    table, match = paired[0]
    if isinstance(to, tuple) or method.kind == "image":
        raise OptionError(
            "this table holds positions of a sequence, not of an image",
            got=f"{to} by {method.spec}",
            fix="give one number, and a method for text",
        )
    refuse_half_windows(match, to)
    refuse_half_segments(match, to)
    more = to - table.usable_length
    wanted = tuple(one.usable_length + more for one, _ in paired)
    old = dig(checkpoint.config, path_of(match)) if match else None
    config, fields = change_length(checkpoint, match, old + more if isinstance(old, int) else None)
    if match and segment_of(match):
        config, fields = change_segment(config, fields, match, to)
    target = Target(paired, method, table.usable_length, to, wanted, config, fields)
    _require_rows(checkpoint, target, [len(one.rows) + more for one, _ in paired])
    return target


def _rule_target(
    checkpoint: Checkpoint, paired: tuple[tuple[PositionTable, Match | None], ...], to: Size, method: Method
) -> Target:
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
    config = checkpoint.config
    fields = tuple(
        ((name,), config.get(name), new)
        for name, new in (
            ("model_type", PREFIX + checkpoint.model_type),
            (
                "attn_implementation",
                PREFIX + "sdpa",
            ),  # so that stock classes asked directly refuse it as well
        )
    )
    same = tuple(one.usable_length for one, _ in paired)
    return Target(paired, method, table.usable_length, to, same, config, fields)


def _image_target(
    checkpoint: Checkpoint, paired: tuple[tuple[PositionTable, Match | None], ...], to: Size, method: Method
) -> Target:
    table, match = paired[0]
    if method.kind != "image" or match is None or table.grid is None or match.form.layout == "count":
        raise OptionError(
            "this table holds patches of an image"
            if method.kind != "image"
            else "this table has no fixed grid",
            got=f"{table.key!a}, {method.spec}",
            fix="take a method for images: bicubic"
            if method.kind != "image"
            else "its model resizes it by itself",
        )
    old = dig(checkpoint.config, path_of(match))
    if match.form.layout == "spectrogram":
        if isinstance(to, tuple):
            raise OptionError("a spectrogram grows along time", got=f"{to}", fix="give one number of frames")
        value: Any = to
    else:
        sides = to if isinstance(to, tuple) else (to, to)
        value = image_value(old, sides)
        patch = match.config.get("patch_size")
        patches = patch if isinstance(patch, list | tuple) else (patch, patch)
        if any(side % int(p or 1) for side, p in zip(sides, patches[-2:], strict=False)):
            raise OptionError(
                "the size is no whole number of patches", got=f"{sides}", fix=f"multiples of {patches[-1]}"
            )
    refuse_tiles(checkpoint, match)
    config, fields = change_length(checkpoint, match, value)
    grown = _rematch(checkpoint, config)
    grids = tuple(grown[one.key].grid() for one, _ in paired)
    if None in grids or math.prod(grids[0] or ()) <= math.prod(table.grid):
        raise OptionError(
            "the target is not larger than the table",
            got=f"patches {times(grids[0] or (0,))}, today {times(table.grid)}",
            fix="ask for more pixels",
        )
    rows = [
        one.prefix_rows + math.prod(grid or ()) + one.trailing_rows
        for (one, _), grid in zip(paired, grids, strict=True)
    ]
    config, fields = change_patch_counts(config, fields, math.prod(table.grid), math.prod(grids[0] or ()))
    target = Target(
        paired, method, pixels(old), to if match.form.layout == "spectrogram" else pixels(value),
        tuple(grid for grid in grids if grid), config, fields,
    )  # fmt: skip
    _require_rows(checkpoint, target, rows)
    return target


def _rematch(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, Match]:
    return {match.key: match for match in recognise(config, checkpoint.tensors)[2]}


def _require_rows(checkpoint: Checkpoint, target: Target, rows: Sequence[int]) -> None:
    """The changed configuration must ask for the new rows, and for the old ones in every other table."""
    if not checkpoint.config:
        return
    grown = _rematch(checkpoint, target.config)
    wanted = {one.key: count for (one, _), count in zip(target.tables, rows, strict=True)}
    for table in checkpoint.tables:
        if grown[table.key].expected_rows() != wanted.get(table.key, table.expected_rows):
            raise ExtendRefused(
                "the new length would change another table too",
                got=f"{table.key!a} ({table.role}) would need {grown[table.key].expected_rows()} rows",
                fix="choose the other table: --tensor KEY",
            )
