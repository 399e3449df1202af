"""The method ``last-row``: new positions get the last trained row."""

from dataclasses import dataclass

import numpy as np

from milepost.extension.methods import TextMethod, register_method


@register_method("last-row")
@dataclass(frozen=True)
class LastRow(TextMethod):
    """Repeats the last row."""

    guarantee = "The old rows stay as they are."
    source = "An example."
    keeps_old_rows = True

    def _rows(self, rows, to_length, rng_seed):
        return rows[np.minimum(np.arange(to_length), len(rows) - 1)]
