"""Tables with known properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


def make_sinusoid(rows: int, dim: int) -> np.ndarray:
    angles = np.arange(rows)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    table = np.empty((rows, dim))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return table


def make_trained(rows: int = 512, dim: int = 64, *, initial_sd: float = 0.02, seed: int = 0) -> np.ndarray:
    """Rows as training leaves them: where they started, plus a slow path of their own, plus a little noise."""
    rng = np.random.default_rng(seed)
    cycles = np.arange(rows) / rows
    path = sum(
        np.outer(np.cos(2 * np.pi * k * cycles + rng.uniform(0, 6)), rng.normal(size=dim)) / k
        for k in range(1, 8)
    )
    # a shared part keeps norms level, as they are in trained tables
    path = 0.04 * path + 0.06 * rng.normal(size=dim)
    return (initial_sd * rng.normal(size=(rows, dim)) + path + 0.01 * rng.normal(size=(rows, dim))).astype(
        np.float32
    )


@pytest.fixture
def sinusoid() -> Callable[..., np.ndarray]:
    return make_sinusoid


@pytest.fixture
def trained() -> Callable[..., np.ndarray]:
    return make_trained


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    def draw(rows: int, dim: int, sd: float = 1.0, seed: int = 1) -> np.ndarray:
        return (sd * np.random.default_rng(seed).normal(size=(rows, dim))).astype(np.float32)

    return draw
