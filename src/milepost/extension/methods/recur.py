"""Recurrent positions: rows are read again from the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import PositionRule, register_method

if TYPE_CHECKING:
    from jaxtyping import Int64


@final
@register_method("recur")
@dataclass(frozen=True)
class Recur(PositionRule):
    """Every input reads row ``position mod n``: what ``tile`` stores, without storing it.

    The table does not change, and neither do inputs within n positions. Only ``milepost.load`` knows the
    rule.

    Source: Zhu et al. 2024 (LongEmbed), recurrent positions.

    >>> Recur().positions(6, 4).tolist()
    [0, 1, 2, 3, 0, 1]
    """

    guarantee = "the table is unchanged; inputs within n positions read the same rows as before"
    source = "Zhu et al. 2024 (LongEmbed), recurrent positions"
    not_a_candidate = "it reads the rows that tile copies"

    def positions(self, length: int, rows: int) -> Int64[np.ndarray, " length"]:
        """See ``PositionRule.positions``."""
        return np.arange(length, dtype=np.int64) % rows
