"""Linear interpolation along the positions, with both conventions for the ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, option_field, register_method
from milepost.options import word

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("linear")
@dataclass(frozen=True)
class Linear(TextMethod):
    """Stretch the table: each new row is a blend of the two old rows beside its place.

    All rows change but the first and the last, so inputs within the old length change too.

    Args:
        ends: ``aligned``: new row ``i`` is taken at ``i (n-1) / (N-1)``, so the ends meet (in other words
            ``align_corners=True``). ``open``: at ``(i + 1/2) n/N - 1/2``, held within the table
            (``align_corners=False``).

    Raises:
        OptionError: MP105, ends that are neither.

    Source: position interpolation of learned tables, as in open_clip (open) and Dosovitskiy et al. 2021,
    section 3.2. Differs: one axis instead of a grid, and the convention is named.

    >>> Linear().apply(np.array([[0.0], [2.0]]), 4)[:, 0].round(3).tolist()
    [0.0, 0.667, 1.333, 2.0]
    >>> Linear("open").apply(np.array([[0.0], [2.0]]), 4)[:, 0].tolist()
    [0.0, 0.5, 1.5, 2.0]
    """

    guarantee = "the first and the last row keep their values; all rows between are blends of neighbours"
    source = "linear interpolation (Dosovitskiy et al. 2021, section 3.2; open_clip); differs: one axis"
    keeps_old_rows = False

    ends: str = option_field(word("aligned", "open"))

    def fewest_rows(self) -> int:
        """Two: there is nothing to blend in one."""
        return 2

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        if self.ends == "aligned":
            places = np.linspace(0, len(rows) - 1, to_length)
        else:
            places = ((np.arange(to_length) + 0.5) * len(rows) / to_length - 0.5).clip(0, len(rows) - 1)
        return blend(rows, places)


def blend(
    rows: Float[np.ndarray, "rows dim"], places: Float[np.ndarray, " to_length"]
) -> Float[np.ndarray, "to_length dim"]:
    """Rows at fractional ``places``; past the last row along the line through the last two."""
    left = np.floor(places).clip(0, len(rows) - 2).astype(np.int64)
    share = (places - left)[:, None]
    return (1 - share) * rows[left] + share * rows[left + 1]
