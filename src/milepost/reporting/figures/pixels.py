"""Small pictures made of characters: a matrix as shades or half blocks, a curve as a row of bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.text import Text

SHADES, ASCII_SHADES = " ░▒▓█", " .:*#"
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_BLUE, _GREY, _RED = (np.array(colour) for colour in ((33, 102, 172), (242, 242, 242), (178, 24, 43)))


def shrink(matrix: Sequence[Sequence[float]], side: int) -> np.ndarray:
    """Means of blocks, at most ``side`` each way.

    >>> shrink([[0, 2], [2, 4]], 1).tolist()
    [[2.0]]
    """
    values = np.nan_to_num(np.array(matrix, dtype=float))
    rows, columns = (_edges(length, side) for length in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    areas = np.outer(np.diff([*rows, values.shape[0]]), np.diff([*columns, values.shape[1]]))
    return sums / areas


def _edges(length: int, parts: int) -> np.ndarray:
    return np.unique(np.linspace(0, length, min(length, parts) + 1).astype(int))[:-1]


def shade(matrix: Sequence[Sequence[float]], ascii_only: bool, side: int = 16) -> list[str]:
    """A matrix of cosines, two characters a cell: blank at 0 and below, full at 1.

    >>> shade([[1.0, 0.0], [0.5, 1.0]], ascii_only=True)
    ['##  ', '::##']
    """
    ramp = ASCII_SHADES if ascii_only else SHADES
    levels = np.clip(np.rint(shrink(matrix, side) * (len(ramp) - 1)), 0, len(ramp) - 1).astype(int)
    return ["".join(ramp[level] * 2 for level in row) for row in levels]


def half_blocks(matrix: Sequence[Sequence[float]], side: int = 32) -> list[Text]:
    """A matrix of cosines in colour, two cells a character: blue at -1, light at 0, red at 1."""
    from rich.text import Text

    cells = shrink(matrix, side)
    if len(cells) % 2:
        cells = np.vstack([cells, cells[-1:]])
    lines = []
    for upper, lower in zip(cells[::2], cells[1::2], strict=True):
        line = Text()
        for pair in zip(upper, lower, strict=True):
            line.append("▀", style=" on ".join(map(_colour, pair)))
        lines.append(line)
    return lines


def _colour(cosine: float) -> str:
    end = _RED if cosine > 0 else _BLUE
    mixed = np.rint(_GREY + min(abs(cosine), 1.0) * (end - _GREY)).astype(int)
    return "rgb({},{},{})".format(*mixed)


def bars(values: Sequence[float], width: int, ascii_only: bool) -> str:
    """A curve as one row of bars from 0 to its largest value, each the mean of its share of the points.

    >>> bars([0.0, 1.0, 2.0], 3, ascii_only=False)
    '▁▅█'
    """
    ramp = _ASCII_BARS if ascii_only else _BARS
    curve = shrink([list(values)], width)[0]
    top = curve.max()
    levels = np.rint(curve / top * (len(ramp) - 1)).astype(int) if top > 0 else np.zeros(len(curve), int)
    return "".join(ramp[level] for level in levels)
