"""Random rows, for those who will train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("normal")
@dataclass(frozen=True)
class Normal(TextMethod):
    """New rows are drawn from a normal distribution around zero with the standard deviation of the table.

    The same seed and the same target give the same rows. DistilBERT's own resizing draws with deviation 1,
    some fifty times the size of trained values.

    Source: the initialisers of BERT and GPT-2. Differs: the deviation is measured, over all usable values.

    >>> table = np.array([[1.0], [-1.0]])
    >>> grown = Normal().apply(table, 5000, rng_seed=1)
    >>> grown[:2, 0].tolist(), round(float(grown[2:].std()), 1)
    ([1.0, -1.0], 1.0)
    """

    guarantee = "rows 0..n-1 are bit-identical; new rows are random and must be trained"
    source = "the initialiser of BERT and GPT-2; differs: the table's own standard deviation"
    keeps_old_rows = True
    not_a_candidate = "a start for training"

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        return np.concatenate([rows, draw_rows(rows, to_length - len(rows), rng_seed)])


def draw_rows(
    rows: Float[np.ndarray, "rows dim"], count: int, rng_seed: int
) -> Float[np.ndarray, "count dim"]:
    """``count`` random rows as large as those of ``rows``."""
    return np.random.default_rng(rng_seed).normal(0.0, rows.std(), (count, rows.shape[1]))
