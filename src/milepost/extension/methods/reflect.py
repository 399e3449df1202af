"""Reflection: the table forth and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("reflect")
@dataclass(frozen=True)
class Reflect(TextMethod):
    """The table, then backwards, then forwards again: no seam, but distances turn round at each mirror.

    The rows at the mirrors are not repeated, so no two neighbours are equal: the period is ``2n - 2``.

    Source: boundary rule of signal processing; no paper recommends it for position tables.

    >>> Reflect().apply(np.array([[0.0], [1.0], [2.0]]), 7)[:, 0].tolist()
    [0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0]
    """

    guarantee = "rows 0..n-1 are bit-identical; each new row is a copy of an old one"
    source = "mirrored boundary of signal processing, edge rows not repeated; no paper recommends it"
    keeps_old_rows = True

    def fewest_rows(self) -> int:
        """Two mirrors."""
        return 2

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        last = len(rows) - 1
        return rows[last - np.abs(np.arange(to_length) % (2 * last) - last)]
