"""Simulate the chance levels of every measure on a grid of table sizes, and write the table that ships.

    python benchmarks/make_chance_levels.py --out src/milepost/statistics/chance_levels.json

Each level is the mean over random tables of independent normal values. A cell of the grid may be interpolated when its middle, which
is simulated too, differs from the interpolation by less than 5 % or less than the noise of the simulation.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from milepost.diagnostics.inspect.measures import MINIMUM_ROWS, measure
from milepost.statistics.chance import ChanceLevel, _blend, simulate_chance

ROWS = (16, 32, 64, 77, 128, 197, 256, 512)
DIMS = (32, 64, 128, 192, 256, 384, 512, 768, 1024, 1280, 1600, 2048, 4096)
SCALE_FREE = [name for name in MINIMUM_ROWS if name not in ("norm_mean", "norm_sd")]


def values(table: np.ndarray) -> dict[str, float | None]:
    """The measures that do not depend on the scale of the table."""
    measured = measure(table)
    return {name: measured[name].value for name in SCALE_FREE}


def agrees(
    name: str, corners: np.ndarray, middle: ChanceLevel, rows: list[int], dims: list[int], draws: int
) -> bool:
    """Whether the interpolated middle of a cell is the simulated one."""
    if not np.isfinite(corners).all():
        return False
    if name == "reverse_mapping_error":
        # the pole: as many dimensions as training rows (4 of 5)
        surplus = [(dim + 1) / (0.8 * row) for row in rows for dim in dims]
        if not (min(surplus) > 1.1 or max(surplus) < 0.9):
            return False
    interpolated = _blend(corners, (0, 0.5), (0, 0.5))
    noise = 1.5 * (middle.high - middle.low) / 1.96 / math.sqrt(draws)  # three standard errors
    return abs(interpolated - middle.mean) <= max(0.05 * abs(middle.mean), noise)


def build(rows: tuple[int, ...], dims: tuple[int, ...], draws: int, seed: int) -> dict[str, object]:
    """The table for these sizes."""
    grid = [[simulate_chance(values, row, dim, draws=draws, seed=seed) for dim in dims] for row in rows]
    middles = [
        [
            simulate_chance(values, _middle(rows, i), _middle(dims, j), draws=20, seed=seed)
            for j in range(len(dims) - 1)
        ]
        for i in range(len(rows) - 1)
    ]
    measures = {}
    for name in SCALE_FREE:
        parts = {
            part: [
                [_rounded(getattr(cell[name], part)) if name in cell else None for cell in line]
                for line in grid
            ]
            for part in ("mean", "low", "high")
        }
        means = np.array(parts["mean"], dtype=float)
        checked = [
            [
                name in middles[i][j]
                and agrees(
                    name,
                    means[i : i + 2, j : j + 2],
                    middles[i][j][name],
                    list(rows[i : i + 2]),
                    list(dims[j : j + 2]),
                    20,
                )
                for j in range(len(dims) - 1)
            ]
            for i in range(len(rows) - 1)
        ]
        measures[name] = {**parts, "interpolates": checked}
    return {
        "schema_version": 1,
        "draws": draws,
        "seed": seed,
        "rows": rows,
        "dims": dims,
        "measures": measures,
    }


def _middle(points: tuple[int, ...], i: int) -> int:
    return round(math.sqrt(points[i] * points[i + 1]))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--dims", type=int, nargs="+", default=DIMS)
    parser.add_argument("--draws", type=int, default=100, help="random tables a size (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = build(tuple(options.rows), tuple(options.dims), options.draws, options.seed)
    options.out.write_text(json.dumps(table, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
