"""Tables that grow together, and what must hold before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from milepost.errors import DataError, ExtendRefused
from milepost.extension.fields import Path
from milepost.extension.methods.base import Grid, Method
from milepost.tables import Checkpoint, Match, PositionTable, recognise

Size: TypeAlias = int | tuple[int, int]
"""A length, or height and width in pixels."""

Pairs: TypeAlias = tuple[tuple[PositionTable, Match | None], ...]
"""Tables that grow together, the meant one first, each with the family's row of data."""


@dataclass(frozen=True, eq=False)
class Target:
    """Tables that one field of the configuration makes as long as they are, and what they become.

    Attributes:
        tables: those that grow; their match is None where the family is unknown. Empty where the model computes its
            positions.
        method: how.
        old: the length today: usable positions, for images the size in pixels.
        new: the length wanted.
        grids: what each table is extended to: usable positions, or a grid of patches.
        config: the configuration as it will be.
        fields: changed fields of the configuration: path, old value, new value.
    """

    tables: Pairs
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


def rematch(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, Match]:
    """The tables by key, as another configuration speaks of them."""
    return {match.key: match for match in recognise(config, checkpoint.tensors)[2]}


def refuse_disagreement(checkpoint: Checkpoint, tables: Sequence[PositionTable]) -> None:
    """Refuse a configuration that says something else than the tables do: one of them is wrong.

    Raises:
        ExtendRefused: MP123, a family that is not known. DataError: MP110.
    """
    for table in tables:
        if table.form is None and checkpoint.config:
            raise ExtendRefused(
                "the family of this model is unknown, and with it what else holds its length",
                got=f"{checkpoint.model_type!a}, {table.key!a}",
                fix="extend the weights file alone, without a config.json next to it",
            )
        if checkpoint.config and table.expected_rows != len(table.rows):
            raise DataError(
                "the configuration and the table disagree",
                got=f"{table.length_field}: {table.expected_rows} rows expected, {len(table.rows)} in {table.key!a}",
                fix="see what is right first: milepost doctor MODEL",
            )


def require_rows(checkpoint: Checkpoint, target: Target, rows: Sequence[int]) -> None:
    """Refuse a changed configuration that does not ask for the new rows, or for the old ones in every other table.

    Raises:
        ExtendRefused: MP123.
    """
    if not checkpoint.config:
        return
    grown = rematch(checkpoint, target.config)
    wanted = {one.key: count for (one, _), count in zip(target.tables, rows, strict=True)}
    for table in checkpoint.tables:
        if grown[table.key].expected_rows() != wanted.get(table.key, table.expected_rows):
            raise ExtendRefused(
                "the new length would change another table too",
                got=f"{table.key!a} ({table.role}) would need {grown[table.key].expected_rows()} rows",
                fix="choose the other table: --tensor KEY",
            )
