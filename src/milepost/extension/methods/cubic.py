"""Cubic spline interpolation along the positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("cubic")
@dataclass(frozen=True)
class Cubic(TextMethod):
    """Stretch the table along a cubic spline through its rows, taken at ``i (n-1) / (N-1)``.

    Smoother than ``linear`` between rows, and it may overshoot them. All rows change but the first and the last,
    so inputs within the old length change too. The spline's third derivative is continuous at the second
    and the last but one row (*not-a-knot*).

    Raises:
        TableTooShort: MP102, fewer than four rows.

    Source: cubic interpolation of position tables without training, as published for e5 and arctic-embed.
    Differs: the ends and the spline's boundary are named.

    >>> table = np.arange(4.0)[:, None] ** 3
    >>> Cubic().apply(table, 7)[:, 0].round(6).tolist()
    [0.0, 0.125, 1.0, 3.375, 8.0, 15.625, 27.0]
    """

    guarantee = (
        "the first and the last row keep their values; all rows between lie on a spline through the old ones"
    )
    source = "cubic spline (not-a-knot) with aligned ends; differs: ends and boundary are named"
    keeps_old_rows = False

    def fewest_rows(self) -> int:
        """Four points of one cubic."""
        return 4

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        from scipy.interpolate import CubicSpline  # slow to import

        made = CubicSpline(np.arange(len(rows)), rows)(np.linspace(0, len(rows) - 1, to_length))
        made[-1] = rows[-1]  # the polynomial of the last piece meets it up to rounding
        return made
