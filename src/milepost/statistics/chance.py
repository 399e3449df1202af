"""Chance levels: what a measure gives on a table of random rows.

A measure of order means little without them: a regression that reads positions back from a random 512 x 768 table errs by about
174 positions, not by the 128 of a constant guess, because it overfits. The levels that ship were simulated on a grid of sizes
(``benchmarks/make_chance_levels.py``).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ChanceLevel:
    """Mean of a measure over random tables, and the range that holds about 95 % of them (mean ± 1.96 sd).

    ``obtained`` is ``shipped`` (from the table, between its sizes where that was checked) or ``simulated``.
    """

    mean: float
    low: float
    high: float
    obtained: str


def simulate_chance(
    measure: Callable[[np.ndarray], Mapping[str, float | None]],
    rows: int,
    dim: int,
    *,
    draws: int = 20,
    seed: int = 0,
) -> dict[str, ChanceLevel]:
    """Chance levels from tables of independent standard normal values; measures that are refused are left out.

    Same arguments, same levels. Takes ``draws`` times what the measure takes.

    Args:
        measure: a table ``(rows, dim)``, float64, to a value (or None) a name.
        rows: rows of the table.
        dim: its width.
        draws: random tables, at least 2.
        seed: of their values.

    >>> simulate_chance(lambda table: {"mean": table.mean()}, 50, 50)["mean"].high < 0.06
    True
    """
    rng = np.random.default_rng([seed, rows, dim])
    results = [measure(rng.standard_normal((rows, dim))) for _ in range(draws)]
    levels = {}
    for name in results[0]:
        values = [result[name] for result in results]
        if None not in values:
            mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))  # type: ignore[arg-type]
            levels[name] = ChanceLevel(mean, mean - 1.96 * sd, mean + 1.96 * sd, "simulated")
    return levels


def shipped_chance(rows: int, dim: int) -> dict[str, ChanceLevel]:
    """Chance levels from the table that ships; a measure without a level that can be trusted at this size is left out.

    Between two sizes of the grid a level is interpolated (in the logarithm of rows and width) only for cells whose middle was simulated
    too and agreed; reverse mapping has a pole where width and training rows meet and is not interpolated across it.

    >>> 170 < shipped_chance(512, 768)["reverse_mapping_error"].mean < 180
    True
    >>> shipped_chance(5, 3)
    {}
    """
    grid = _shipped()
    at_rows, at_dim = _cell(grid["rows"], rows), _cell(grid["dims"], dim)
    if at_rows is None or at_dim is None:
        return {}
    levels = {}
    for name, level in grid["measures"].items():
        if at_rows[1] or at_dim[1]:  # between grid points
            checked = level["interpolates"]
            cells = [checked[i][j] for i in _touched(at_rows, checked) for j in _touched(at_dim, checked[0])]
            if not all(cells):
                continue
        values = [
            _blend(np.array(level[part], dtype=float), at_rows, at_dim) for part in ("mean", "low", "high")
        ]
        if np.isfinite(values).all():
            mean, low, high = values
            levels[name] = ChanceLevel(mean, low, high, "shipped")
    return levels


@cache
def _shipped() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        files("milepost.statistics").joinpath("chance_levels.json").read_text()
    )
    return loaded


def _cell(points: Sequence[int], value: int) -> tuple[int, float] | None:
    """The grid point at or below ``value`` and how far towards the next it lies, in logarithms; None off the grid."""
    if not points[0] <= value <= points[-1]:
        return None
    left = bisect_right(points, value) - 1
    if points[left] == value:
        return left, 0.0
    return left, float(np.log(value / points[left]) / np.log(points[left + 1] / points[left]))


def _touched(at: tuple[int, float], cells: Sequence[object]) -> list[int]:
    """The cells that a point lies in: the one to its right, and on a grid line the one to its left too."""
    left, share = at
    touched = [left] if share else [left - 1, left]
    return [cell for cell in touched if 0 <= cell < len(cells)]


def _blend(grid: np.ndarray, at_rows: tuple[int, float], at_dim: tuple[int, float]) -> float:
    """Bilinear in the four corners; geometric where all are positive, since levels follow power laws of the size."""
    (i, a), (j, b) = at_rows, at_dim
    corners = grid[np.ix_([i, i + bool(a)], [j, j + bool(b)])]
    geometric = bool((corners > 0).all())
    if geometric:
        corners = np.log(corners)
    value = float(np.array([1 - a, a]) @ corners @ np.array([1 - b, b]))
    return float(f"{np.exp(value) if geometric else value:.6g}")
