"""Hierarchical decomposition: n rows become up to n² from pairs of the old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.errors import OptionError
from milepost.extension.methods.base import TextMethod, option_field, register_method
from milepost.options import number

if TYPE_CHECKING:
    from jaxtyping import Float


@final
@register_method("hierarchical")
@dataclass(frozen=True)
class Hierarchical(TextMethod):
    """Row ``i * n + j`` is ``alpha * u[i] + (1 - alpha) * u[j]`` with ``u = (p - alpha * p[0]) / (1 - alpha)``.

    Every new position has a row of its own, made of its block and its place in the block. For blocks after the first
    it is ``p[j] + alpha / (1 - alpha) * (p[i] - p[0])``: where row 0 stands apart from the others, all new rows
    are shifted away from it.

    Args:
        alpha: the share of the block, between 0 and 1. One half would give mirrored pairs the same row.

    Raises:
        OptionError: MP105, alpha out of its range.

    Source: Su 2020, as in bert4keras. Differs: reserved rows stay out of it, and the old rows, which the
    formula gives back up to rounding, are copied.

    >>> Hierarchical(alpha=0.25).apply(np.array([[0.0], [3.0]]), 4)[:, 0].tolist()
    [0.0, 3.0, 1.0, 4.0]
    """

    guarantee = "rows 0..n-1 are bit-identical; each new row is a blend of two old ones"
    source = "Su 2020 (hierarchical decomposition); differs: old rows are copied, reserved rows stay out"
    keeps_old_rows = True
    candidates = (
        "hierarchical(alpha=0.05)",
        "hierarchical(alpha=0.1)",
        "hierarchical(alpha=0.2)",
        "hierarchical",
    )

    alpha: float = option_field(number(0.4, above=0, most=1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha in (0.5, 1):
            raise OptionError(
                "alpha must lie between 0 and 1, and not be 0.5",
                got=f"alpha={self.alpha}",
                fix="alpha=0.4",
            )

    def fewest_rows(self) -> int:
        """Two: there is nothing to blend in one."""
        return 2

    def longest(self, rows: int) -> int:
        """Each pair of a block and a place once."""
        return rows * rows

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        base = (rows - self.alpha * rows[0]) / (1 - self.alpha)
        block, place = np.divmod(np.arange(to_length), len(rows))
        return self.alpha * base[block] + (1 - self.alpha) * base[place]
