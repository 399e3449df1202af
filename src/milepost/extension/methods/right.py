"""Right alignment: the newest tokens keep the trained rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, register_method
from milepost.extension.methods.normal import draw_rows

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("right")
@dataclass(frozen=True)
class Right(TextMethod):
    """The old table becomes the last n rows; the rows before it are random and must be trained.

    For dialogue and other models whose input is cut on the left and filled to the full length: there the newest
    tokens keep the rows they had. An input shorter than the target that starts at position 0 reads new rows first.

    Source: ParlAI's long-context models, which place the trained rows at the newest tokens. Differs: a
    stored table, so this holds for inputs of the full length; the new rows are drawn as ``normal`` does.

    >>> Right().apply(np.array([[0.0], [2.0]]), 4)[2:, 0].tolist()
    [0.0, 2.0]
    """

    guarantee = (
        "the last n rows are the old table bit for bit; the rows before it are random and must be trained"
    )
    source = (
        "ParlAI, right-aligned long context; differs: a stored table, exact for inputs of the full length"
    )
    keeps_old_rows = False

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        return np.concatenate([draw_rows(rows, to_length - len(rows), rng_seed), rows])
