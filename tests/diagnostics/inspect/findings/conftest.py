"""How the tests of findings look at a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from milepost.diagnostics.inspect.findings import Facts, check_table
from milepost.finding import Finding


def look_at(rows: np.ndarray, **options: Any) -> dict[str, Finding]:
    return {found.code: found for found in check_table(Facts(rows, **options))}


@pytest.fixture
def look() -> Callable[..., dict[str, Finding]]:
    """Findings by code, without measures."""
    return look_at


@pytest.fixture
def fired() -> Callable[..., set[str]]:
    """Codes of the findings that are issues or tips."""

    def fire(rows: np.ndarray, **options: Any) -> set[str]:
        return {code for code, found in look_at(rows, **options).items() if found.status in ("issue", "tip")}

    return fire


@pytest.fixture
def cut() -> Callable[..., np.ndarray]:
    """The table with rows from ``at`` on as they are drawn at the start."""

    def draw(table: np.ndarray, at: int, sd: float, seed: int = 7) -> np.ndarray:
        rows = table.copy()
        rows[at:] = sd * np.random.default_rng(seed).normal(size=rows[at:].shape)
        return rows

    return draw
