"""Images: tables whose grid of patches follows from a size in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from milepost.errors import ExtendRefused, OptionError
from milepost.extension.fields import change_length, change_patch_counts, dig, path_of
from milepost.extension.methods.base import Grid, Method
from milepost.extension.target.base import Pairs, Size, Target, rematch, require_rows
from milepost.tables import Checkpoint, Match, PositionTable


def image_target(checkpoint: Checkpoint, paired: Pairs, to: Size, method: Method) -> Target:
    """Every table gets the grid of patches that the new size asks for.

    Raises:
        OptionError: MP105, a target that fits neither table nor method. ExtendRefused: MP123.
    """
    table, match = paired[0]
    match = _require_grid(table, match, method)
    along_time = match.form.layout == "spectrogram"
    old = dig(checkpoint.config, path_of(match))
    new = _read_frames(to) if along_time else _size_in_pixels(match, old, to)
    _refuse_tiles(checkpoint, match)
    config, fields = change_length(checkpoint, match, new)
    matches = rematch(checkpoint, config)
    grids = _require_more([table for table, _ in paired], [matches[table.key].grid() for table, _ in paired])
    rows = [
        one.prefix_rows + math.prod(grid) + one.trailing_rows
        for (one, _), grid in zip(paired, grids, strict=True)
    ]
    config, fields = change_patch_counts(config, fields, math.prod(table.grid or ()), math.prod(grids[0]))
    target = Target(paired, method, pixels(old), to if along_time else pixels(new), grids, config, fields)
    require_rows(checkpoint, target, rows)
    return target


def _require_grid(table: PositionTable, match: Match | None, method: Method) -> Match:
    got = f"{table.key!a}, {method.spec}"
    if method.kind != "image":
        raise OptionError(
            "this table holds patches of an image", got=got, fix="take a method for images: bicubic"
        )
    if match is None or table.grid is None or match.form.layout == "count":
        raise OptionError("this table has no fixed grid", got=got, fix="its model resizes it by itself")
    return match


def _read_frames(to: Size) -> int:
    if isinstance(to, tuple):
        raise OptionError("a spectrogram grows along time", got=f"{to}", fix="give one number of frames")
    return to


def _size_in_pixels(match: Match, old: Any, to: Size) -> Any:
    """The size as the configuration writes it: one number, two, or channels before them."""
    sides = to if isinstance(to, tuple) else (to, to)
    patch = match.config.get("patch_size")
    patches = patch if isinstance(patch, list | tuple) else (patch, patch)
    if any(side % int(p or 1) for side, p in zip(sides, patches[-2:], strict=False)):
        raise OptionError(
            "the size is not a whole number of patches", got=f"{sides}", fix=f"multiples of {patches[-1]}"
        )
    if isinstance(old, list | tuple):
        return [*old[:-2], *sides]
    return sides[0] if sides[0] == sides[1] else list(sides)


def _refuse_tiles(checkpoint: Checkpoint, match: Match) -> None:
    """With the size of the vision tower the grids of tiles would have to change as well."""
    family = checkpoint.family
    if match.path and family and family.variant(checkpoint.model_type).cuts == "tiles":
        raise ExtendRefused(
            "this model cuts images into tiles of its vision tower's size",
            got=f"model_type {checkpoint.model_type!a}",
            fix="give it images of more tiles instead: its processor chooses how many",
        )


def _require_more(tables: Sequence[PositionTable], grids: Sequence[Grid | None]) -> tuple[Grid, ...]:
    first, today = grids[0] or (0,), tables[0].grid or ()
    if None in grids or math.prod(first) <= math.prod(today):
        raise OptionError(
            "the target is not larger than the table",
            got=f"patches {times(first)}, today {times(today)}",
            fix="ask for more pixels",
        )
    return tuple(grid for grid in grids if grid)


def pixels(value: Any) -> Size:
    """Height and width of a size as a configuration writes it."""
    if isinstance(value, list | tuple):
        return int(value[-2]), int(value[-1])
    return int(value), int(value)


def times(grid: Sequence[int]) -> str:
    """A grid in words.

    >>> times((2, 3))
    '2 x 3'
    """
    return " x ".join(map(str, grid))
