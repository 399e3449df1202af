"""From a position table to the table of another length: what is reserved stays what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from milepost.errors import DataError, OptionError
from milepost.extension.methods.base import Grid, Method
from milepost.tables import PositionTable, decode, encode

if TYPE_CHECKING:
    from jaxtyping import Float


def extend_rows(
    table: PositionTable, to: int | Grid, method: Method, *, rng_seed: int = 0
) -> Float[np.ndarray, "to_rows dim"]:
    """Make all rows of ``table`` for another length.

    Reserved rows, prefix rows and trailing rows are copied and never blended into the body. Every value is one
    that the stored format has, and copied rows are equal: ``encode(..., table.dtype)`` gives back their bytes.

    Args:
        table: as read. Left untouched.
        to: usable positions wanted; for a table of patches the grid, ``(height, width)``.
        method: how. A position rule stores nothing new: the rows come back as they are.
        rng_seed: for the methods that draw.

    Returns:
        A new array ``(first_row + to, dim)``, for patches ``(prefix + patches + trailing, dim)``, of the
        dtype of ``table.rows``. Arithmetic is float64, rounded to float32, then to the stored format, to
        nearest, ties to even.

    Raises:
        OptionError: MP105, a target or a kind of table that the method cannot serve.
        TableTooShort: MP102, fewer rows than the method needs.
        DataError: MP110, values that are not finite, or that the stored format cannot hold.
        UnsafeFile: MP130, a table stored in a byte a value.

    >>> from milepost.extension.methods import build_method
    >>> table = PositionTable("p", np.array([[9.0], [0.0], [2.0]]), "F64", first_row=1, usable_length=2)
    >>> extend_rows(table, 3, build_method("linear"))[:, 0].tolist()
    [9.0, 0.0, 1.0, 2.0]
    """
    if isinstance(to, int):
        if table.grid is not None or table.kind == "patches":
            raise OptionError(
                "a table of patches has a grid, not a length",
                got=f"{to} positions wanted",
                fix="give the grid, (height, width), and a method for images: bicubic",
            )
        made = method.apply(table.usable_rows, to, rng_seed=rng_seed)
        if method.position_rule:
            return table.rows.copy()
        made = np.concatenate([table.rows[: table.first_row], made])
    elif table.grid is None:
        raise OptionError(
            "this table has no grid of patches",
            got=f"a grid of {' x '.join(map(str, to))} wanted",
            fix="give a number of positions, or check the image's size in config.json",
        )
    else:
        made = method.apply_grid(table.rows, table.grid, to, prefix_rows=table.prefix_rows)
    with np.errstate(over="ignore"):
        stored = decode(encode(made, table.dtype), table.dtype).reshape(made.shape)
    if not np.isfinite(stored[table.first_row :]).all():
        raise DataError(
            f"{method.name} makes values that {table.dtype} cannot hold",
            got=f"up to {np.abs(made[table.first_row :]).max():.3g}",
            fix="take another method, or store the table in F32 first",
        )
    return stored
