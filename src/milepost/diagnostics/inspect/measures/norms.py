"""How long rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


def row_norms(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, " rows"]:
    """Euclidean norm of every row, float64.

    >>> row_norms(np.array([[3.0, 4.0]], np.float32)).tolist()
    [5.0]
    """
    return np.sqrt(np.einsum("rd,rd->r", rows, rows, dtype=np.float64))


def norm_z(norms: Float[np.ndarray, " rows"], row: int) -> float | None:
    """How many standard deviations of the other rows' norms this row's norm lies from their mean.

    None where the others all have one norm (a sinusoid).

    >>> norm_z(np.array([4.0, 1.0, 2.0, 3.0]), 0)
    2.0
    """
    others = np.delete(norms, row)
    spread = others.std(ddof=1)
    if spread <= 1e-6 * others.mean():
        return None
    return float((norms[row] - others.mean()) / spread)
