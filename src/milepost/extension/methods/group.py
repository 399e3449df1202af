"""Grouped positions: neighbours share a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import PositionRule, register_method

if TYPE_CHECKING:
    from jaxtyping import Int64


@final
@register_method("group")
@dataclass(frozen=True)
class Group(PositionRule):
    """An input of ``length`` positions reads row ``position // ceil(length / n)``.

    The table does not change, and neither do inputs within n positions. In longer ones so many neighbours share
    a row that all fit. Only ``milepost.load`` knows the rule.

    Source: Zhu et al. 2024 (LongEmbed), grouped positions. Differs: the group's size follows the input's
    own length.

    >>> Group().positions(6, 4).tolist()
    [0, 0, 1, 1, 2, 2]
    """

    guarantee = "the table is unchanged; inputs within n positions read the same rows as before"
    source = "Zhu et al. 2024 (LongEmbed), grouped positions; differs: the size follows each input's length"

    def positions(self, length: int, rows: int) -> Int64[np.ndarray, " length"]:
        """See ``PositionRule.positions``."""
        return np.arange(length, dtype=np.int64) // max(1, -(-length // rows))
