"""Two tables side by side: which rows moved between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from milepost.diagnostics.inspect.findings.facts import name_rows
from milepost.diagnostics.inspect.measures import row_norms
from milepost.errors import OptionError
from milepost.tables import Checkpoint, PositionTable

_SAME_DIRECTION = 1 - 1e-6


def contrast_checkpoints(one: Checkpoint, other: Checkpoint) -> dict[str, Any]:
    """Hold each table of ``one`` against the table of ``other`` with its key, or its role where that is clear.

    Raises:
        OptionError: MP105, when no table has a counterpart of the same width.
    """
    pairs = [(table, match) for table in one.tables if (match := _counterpart(table, other)) is not None]
    if not pairs:
        raise OptionError(
            "the two models have no position table in common",
            got=f"{_shapes(one)} against {_shapes(other)}",
            fix="compare tables of one width; name them with --tensor KEY",
        )
    return {"source": other.source, "tables": [contrast_tables(*pair) for pair in pairs]}


def contrast_tables(table: PositionTable, other: PositionTable) -> dict[str, Any]:
    """Compare two tables of one width position by position, as far as both reach.

    Returns:
        ``same`` (positions whose rows agree in every bit), ``shrunk`` (one direction, another length, as weight decay leaves a
        row that got no gradient), ``moved`` (all others), ``added`` and ``removed`` at the end; and per common position the
        ``cosine`` and the ``change`` (norm of the difference, in norms of ``other``'s row; None where that is zero).
    """
    rows, others = table.usable_rows, other.usable_rows
    common = min(len(rows), len(others))
    ours, theirs = rows[:common].astype(np.float64), others[:common].astype(np.float64)
    norms, before = row_norms(ours), row_norms(theirs)
    scale = norms * before
    # nothing is said of rows of zeros or NaN
    with np.errstate(all="ignore"):
        cosine = np.einsum("rd,rd->r", ours, theirs) / scale
        change = row_norms(ours - theirs) / before
    same = np.all(ours == theirs, axis=1)
    shrunk = ~same & (cosine > _SAME_DIRECTION)
    moved = ~same & ~shrunk
    return {
        "key": table.key,
        "other_key": other.key,
        "common": common,
        "added": len(rows) - common,
        "removed": len(others) - common,
        "same": _positions(same),
        "shrunk": _positions(shrunk),
        "moved": _positions(moved),
        "cosine": [_number(value) for value in cosine],
        "change": [_number(value) for value in change],
        "summary": _summary(common, len(rows), len(others), same, shrunk, moved),
    }


def _counterpart(table: PositionTable, other: Checkpoint) -> PositionTable | None:
    fitting = [found for found in other.tables if found.rows.shape[1] == table.rows.shape[1]]
    for wanted in (
        [found for found in fitting if found.key == table.key],
        [found for found in fitting if found.role == table.role],
    ):
        if len(wanted) == 1:
            return wanted[0]
    return None


def _positions(which: np.ndarray) -> dict[str, Any]:
    found = np.flatnonzero(which)
    named = name_rows(found.tolist()).replace("row", "position", 1) if len(found) else ""
    return {"count": len(found), "where": named}


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _summary(
    common: int, ours: int, theirs: int, same: np.ndarray, shrunk: np.ndarray, moved: np.ndarray
) -> str:
    parts = [f"of {common} common positions {same.sum()} are identical"]
    if shrunk.any():
        parts.append(f"{shrunk.sum()} differ in length alone")
    parts.append(f"{moved.sum()} moved")
    if ours != theirs:
        parts.append(f"{abs(ours - theirs)} were {'added' if ours > theirs else 'removed'}")
    return ", ".join(parts)


def _shapes(checkpoint: Checkpoint) -> str:
    shapes = [f"{len(table.rows)} x {table.rows.shape[1]}" for table in checkpoint.tables]
    return ", ".join(shapes) or "no table"
