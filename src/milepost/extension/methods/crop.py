"""Cropping: the only method that makes a table shorter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("crop")
@dataclass(frozen=True)
class Crop(TextMethod):
    """The first rows, as they are.

    Source: nanoGPT's ``crop_block_size``. Differs: every place of the length changes with it.

    >>> Crop().apply(np.array([[0.0], [1.0], [2.0]]), 2)[:, 0].tolist()
    [0.0, 1.0]
    """

    guarantee = "the rows that stay are bit-identical"
    source = "nanoGPT, crop_block_size; differs: every place of the length changes with it"
    keeps_old_rows = True
    shrinks = True
    not_a_candidate = "it makes a table shorter"

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        return rows[:to_length].copy()
