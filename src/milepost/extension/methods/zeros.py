"""Zeros, for those who will train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("zeros")
@dataclass(frozen=True)
class Zeros(TextMethod):
    """New rows are zero: new positions say nothing until they are trained.

    Source: a start for training, and a baseline.

    >>> Zeros().apply(np.array([[1.0]]), 3)[:, 0].tolist()
    [1.0, 0.0, 0.0]
    """

    guarantee = "rows 0..n-1 are bit-identical; new rows are zero and must be trained"
    source = "a start for training: zeros"
    keeps_old_rows = True
    not_a_candidate = "a start for training"

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        return np.concatenate([rows, np.zeros((to_length - len(rows), rows.shape[1]))])
