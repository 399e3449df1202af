"""The first rows stay, the rest is stretched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, option_field, register_method
from milepost.extension.methods.linear import blend
from milepost.options import whole

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("keep")
@dataclass(frozen=True)
class Keep(TextMethod):
    """Keep the first ``first`` rows and stretch the other ``m`` onto the ``M`` places that are left.

    Place ``j`` of the stretched part is taken at ``j m/M``, linearly. Where ``M = r m`` for a whole ``r``, old
    row ``first + i`` is therefore kept exactly at ``first + r i``. The last places lie past the last old row,
    on the line through the last two.

    Args:
        first: rows copied as they are; they read most of the training in short texts.

    Raises:
        OptionError: MP105, ``first`` below 0. TableTooShort: MP102, fewer than ``first + 2`` rows.

    Source: Zhang et al. 2024 (Long-CLIP), section 3.1, and its code for the last rows. Differs: any target,
    not four times the stretched part alone.

    >>> Keep(first=1).apply(np.array([[9.0], [0.0], [2.0]]), 5)[:, 0].tolist()
    [9.0, 0.0, 1.0, 2.0, 3.0]
    """

    guarantee = (
        "the first rows (20 unless named otherwise) are bit-identical; with a whole ratio r old row i past "
        "them is kept at first + r * (i - first)"
    )
    source = "Zhang et al. 2024 (Long-CLIP), section 3.1; differs: any target length"
    keeps_old_rows = False

    first: int = option_field(whole(20, least=0))

    def fewest_rows(self) -> int:
        """Two to stretch after those that are kept."""
        return self.first + 2

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        stretched = rows[self.first :]
        wanted = to_length - self.first
        places = np.arange(wanted) * len(stretched) / wanted
        return np.concatenate([rows[: self.first], blend(stretched, places)])
