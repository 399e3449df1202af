"""The mean row for every new position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("mean")
@dataclass(frozen=True)
class Mean(TextMethod):
    """New rows are the mean of the old ones: typical values, and no order among new positions.

    Source: the usual start for new rows that will be trained; a baseline.

    >>> Mean().apply(np.array([[0.0], [1.0]]), 4)[:, 0].tolist()
    [0.0, 1.0, 0.5, 0.5]
    """

    guarantee = "rows 0..n-1 are bit-identical; all new rows are the same, their mean"
    source = "a baseline: the mean of the usable rows"
    keeps_old_rows = True

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        return np.concatenate([rows, np.tile(rows.mean(axis=0), (to_length - len(rows), 1))])
