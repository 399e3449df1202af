"""What a page about a table draws, as numbers: matrices of at most 64 x 64, curves of at most 512 points."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from milepost.diagnostics.measures import (
    MEASURED_ROWS,
    centred_eigen,
    cosines,
    energy_by_frequency,
    mean_by_distance,
    nearest_rows,
    row_norms,
)

SIDE = 64
POINTS = 512


def draw_pictures(positions: Float[np.ndarray, "positions dim"]) -> dict[str, Any]:
    """Reduce a table to its pictures; empty where it has no rows or values that are not finite.

    Returns:
        ``thumbnail`` (every k-th row and column), ``cosine_map`` (mean cosine of blocks of rows, over all positions),
        ``norms`` (means of blocks), and over the first 512 positions ``cosine_by_distance``, ``spectrum`` (shares of variance, falling),
        ``frequencies`` (shares by cycles over the rows) and ``nearest`` (the row most like each). Each tells its axes in words.
    """
    if len(positions) < 2 or not np.isfinite(positions).all():
        return {}
    first = np.asarray(positions[:MEASURED_ROWS], dtype=np.float64)
    first = first / (np.abs(first).max() or 1.0)
    gram = first @ first.T
    variances = centred_eigen(gram)[0][::-1]
    pictures: dict[str, Any] = {
        "thumbnail": _thumbnail(positions),
        "cosine_map": _cosine_map(positions),
        "norms": _curve(row_norms(positions), "position", "norm"),
        "cosine_by_distance": _curve(mean_by_distance(cosines(gram)), "distance", "mean cosine"),
        "nearest": {
            "x": "position",
            "y": "position of the nearest row",
            "values": nearest_rows(gram).tolist(),
        },
    }
    if variances[0] > 1e-12 * np.trace(gram):
        shares = variances / variances.sum()
        pictures["spectrum"] = _curve(shares[:SIDE], "direction", "share of variance", start=1)
        pictures["frequencies"] = _curve(
            energy_by_frequency(first), "cycles over the rows", "share of variance", start=1
        )
    return pictures


def _curve(values: np.ndarray, x: str, y: str, start: int = 0) -> dict[str, Any]:
    """A curve of means of blocks; ``at`` holds where each begins."""
    edges = np.unique(np.linspace(0, len(values), min(len(values), POINTS) + 1).astype(int))[:-1]
    means = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    return {"x": x, "y": y, "at": (edges + start).tolist(), "values": _rounded(means)}


def _cosine_map(positions: np.ndarray) -> dict[str, Any]:
    """Mean cosine of every pair of rows of two blocks, from the blocks' mean unit rows: linear in the rows, so any length will do."""
    norms = row_norms(positions)
    units = positions / np.where(norms > 0, norms, 1.0)[:, None]
    edges = np.unique(np.linspace(0, len(positions), min(len(positions), SIDE) + 1).astype(int))[:-1]
    means = np.add.reduceat(units, edges, axis=0) / np.diff([*edges, len(positions)])[:, None]
    return {"x": "position", "y": "position", "at": edges.tolist(), "values": _rounded(means @ means.T)}


def _thumbnail(positions: np.ndarray) -> dict[str, Any]:
    rows, columns = (
        np.unique(np.linspace(0, length - 1, min(length, SIDE)).astype(int)) for length in positions.shape
    )
    picked = positions[np.ix_(rows, columns)]
    return {"x": "dimension", "y": "position", "at": rows.tolist(), "values": _rounded(picked)}


def _rounded(values: np.ndarray) -> list[Any]:
    """Four significant digits: enough to draw, half the size."""
    flat = [float(f"{value:.4g}") for value in np.ravel(values)]
    if np.ndim(values) == 1:
        return flat
    width = np.shape(values)[1]
    return [flat[left : left + width] for left in range(0, len(flat), width)]
