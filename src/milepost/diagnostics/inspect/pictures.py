"""What a page about a table draws, as numbers: matrices of at most 64 x 64, curves of at most 512 points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from milepost.diagnostics.inspect.measures import (
    Sample,
    cosines,
    energy_by_frequency,
    is_measurable,
    mean_by_distance,
    nearest_rows,
    row_norms,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SIDE = 64
POINTS = 512


def draw_pictures(positions: Float[np.ndarray, "positions dim"], sample: Sample) -> dict[str, Any]:
    """Reduce a table to its pictures; empty where it has no rows, or values that are not finite or too large to be measured.

    Args:
        positions: all of them, ``(positions, dim)``.
        sample: of the same rows.

    Returns:
        ``thumbnail`` (every k-th row and column), ``cosine_map`` (mean cosine of blocks of rows, over all positions),
        ``norms`` (means of blocks), and over the first 512 positions ``cosine_by_distance``, ``spectrum`` (shares of variance, falling),
        ``frequencies`` (shares by cycles over the rows) and ``nearest`` (the row most like each). Each tells its axes in words.
    """
    if len(positions) < 2 or not is_measurable(positions):
        return {}
    pictures: dict[str, Any] = {
        "thumbnail": _thumbnail(positions),
        "cosine_map": _cosine_map(positions),
        "norms": _curve(row_norms(positions), "position", "norm"),
        "cosine_by_distance": _curve(mean_by_distance(cosines(sample.gram)), "distance", "mean cosine"),
        "nearest": {
            "x": "position",
            "y": "position of the nearest row",
            "values": nearest_rows(sample.gram).tolist(),
        },
    }
    if sample.varies:
        variances = sample.eigen[0][::-1]
        shares = variances / variances.sum()
        pictures["spectrum"] = _curve(shares[:SIDE], "direction", "share of variance", start=1)
        pictures["frequencies"] = _curve(
            energy_by_frequency(sample.rows), "cycles over the rows", "share of variance", start=1
        )
    return pictures


def _curve(values: np.ndarray, x: str, y: str, start: int = 0) -> dict[str, Any]:
    """A curve of means of blocks; ``at`` holds where each begins."""
    edges = _edges(len(values), POINTS)
    means = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    return {"x": x, "y": y, "at": (edges + start).tolist(), "values": _rounded(means)}


def _edges(length: int, most: int) -> Int[np.ndarray, " blocks"]:
    """Where each of at most ``most`` blocks of nearly one size begins."""
    blocks = min(length, most)
    return np.arange(blocks) * length // blocks


def _cosine_map(positions: np.ndarray) -> dict[str, Any]:
    """Mean cosine of every pair of rows of two blocks, from the blocks' mean unit rows: linear in the rows, so any length will do."""
    norms = row_norms(positions)
    units = positions / np.where(norms > 0, norms, 1.0)[:, None]
    edges = _edges(len(positions), SIDE)
    means = np.add.reduceat(units, edges, axis=0) / np.diff([*edges, len(positions)])[:, None]
    return {"x": "position", "y": "position", "at": edges.tolist(), "values": _rounded(means @ means.T)}


def _thumbnail(positions: np.ndarray) -> dict[str, Any]:
    rows, columns = (_edges(length, SIDE) for length in positions.shape)
    picked = positions[np.ix_(rows, columns)]
    return {"x": "dimension", "y": "position", "at": rows.tolist(), "values": _rounded(picked)}


def _rounded(values: np.ndarray) -> list[Any]:
    """Four significant digits: enough to draw, half the size."""
    flat = [float(f"{value:.4g}") for value in np.ravel(values)]
    if np.ndim(values) == 1:
        return flat
    width = np.shape(values)[1]
    return [flat[left : left + width] for left in range(0, len(flat), width)]
