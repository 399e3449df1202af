"""Tiling: the table again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("tile")
@dataclass(frozen=True)
class Tile(TextMethod):
    """Row ``i`` is old row ``i mod n``: good for models of local attention, and a warm start for training.

    Attention cannot tell the copies apart, and there is a seam at each multiple of n.

    Source: Beltagy et al. 2020 (Longformer), section 5. Differs: reserved rows stay where they are; theirs
    are left unset.

    >>> Tile().apply(np.array([[0.0], [1.0]]), 5)[:, 0].tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """

    guarantee = "rows 0..n-1 are bit-identical; each new row is a copy of an old one"
    source = "Beltagy et al. 2020 (Longformer), section 5; differs: reserved rows are kept"
    keeps_old_rows = True

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        return rows[np.arange(to_length) % len(rows)]
