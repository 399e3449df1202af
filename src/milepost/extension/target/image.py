"""Sizes of images as configurations write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Size: TypeAlias = int | tuple[int, int]
"""A length, or height and width in pixels."""


def image_value(old: Any, sides: tuple[int, int]) -> Any:
    """A size as the configuration writes it: one number, two, or channels before them."""
    if isinstance(old, list | tuple):
        return [*old[:-2], *sides]
    return sides[0] if sides[0] == sides[1] else list(sides)


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
