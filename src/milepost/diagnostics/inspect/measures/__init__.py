"""Measures of a position table, each a number that has a chance level at the same rows and width.

All but the norms look at the first 512 positions (``MEASURED_ROWS``), so that they cost the same for every table and
can be compared with published numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from milepost.diagnostics.inspect.measures.mapping import centred_eigen, reverse_mapping_error
from milepost.diagnostics.inspect.measures.norms import norm_z, row_norms
from milepost.diagnostics.inspect.measures.similarity import (
    cosines,
    mean_by_distance,
    monotonicity,
    nearest_rows,
    order_accuracy,
    toeplitz_share,
)
from milepost.diagnostics.inspect.measures.sinusoid import is_sinusoid
from milepost.diagnostics.inspect.measures.spectrum import (
    effective_rank,
    energy_by_frequency,
    low_frequency_share,
    participation_ratio,
)

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "MEASURED_ROWS",
    "MINIMUM_ROWS",
    "Measurement",
    "Sample",
    "cosines",
    "energy_by_frequency",
    "is_measurable",
    "is_sinusoid",
    "mean_by_distance",
    "measure",
    "nearest_rows",
    "row_norms",
]

LARGEST = 1e150  # of a value that is measured: products of larger ones are infinite

MEASURED_ROWS = 512

# Below these the number would be an accident of a few rows (or, for the frequencies, 1 by arithmetic).
MINIMUM_ROWS = {
    "norm_mean": 1,
    "norm_sd": 3,
    "norm_variation": 3,
    "first_norm_z": 8,
    "last_norm_z": 8,
    "neighbour_cosine": 4,
    "order_accuracy": 8,
    "reverse_mapping_error": 64,
    "monotonicity": 8,
    "toeplitz_share": 8,
    "effective_rank": 4,
    "participation_ratio": 4,
    "low_frequency_share": 64,
}


@dataclass(frozen=True)
class Measurement:
    """A value, or None and the reason why there is none."""

    value: float | None
    reason: str | None = None


class Sample:
    """The first 512 positions of a table and what all measures of order need of them, each computed once.

    The rows are scaled to a largest value of 1: all that reads them is free of scale, and squares must not overflow.
    """

    def __init__(self, rows: Float[np.ndarray, "rows dim"]) -> None:
        first = np.asarray(rows[:MEASURED_ROWS], dtype=np.float64)
        self.rows = first / (np.abs(first).max(initial=0.0) or 1.0)

    @cached_property
    def gram(self) -> Float[np.ndarray, "rows rows"]:
        """``rows @ rows.T``."""
        return self.rows @ self.rows.T

    @cached_property
    def eigen(self) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, "rows rows"]]:
        """Eigenvalues, ascending, and vectors of the centred Gram matrix."""
        return centred_eigen(self.gram)

    @cached_property
    def varies(self) -> bool:
        """Whether rows differ by more than rounding."""
        return bool(self.eigen[0][-1] > 1e-12 * np.trace(self.gram))


def is_measurable(rows: Float[np.ndarray, "rows dim"]) -> bool:
    """Whether all values are finite and none is so large that products of two are infinite."""
    return float(np.abs(rows).max(initial=0.0)) <= LARGEST


def measure(rows: Float[np.ndarray, "rows dim"], sample: Sample | None = None) -> dict[str, Measurement]:
    """Every measure of a table's rows in the order of their positions (reserved and class rows left out).

    Args:
        rows: left untouched. More than 512: the norms read all, the others the first 512.
        sample: of these rows, where the caller has use for it too.

    Returns:
        One ``Measurement`` a name of ``MINIMUM_ROWS``, in its order. Arithmetic is float64.

    >>> measure(np.eye(4))["reverse_mapping_error"].reason
    'needs at least 64 rows, there are 4'
    """
    if not is_measurable(rows):
        reason = f"the table holds values that are not finite, or above {LARGEST:g}"
        return {name: Measurement(None, reason) for name in MINIMUM_ROWS}
    results = {}
    compute = _measures(rows, sample or Sample(rows)) if len(rows) else {}
    for name, least in MINIMUM_ROWS.items():
        if len(rows) < least:
            results[name] = Measurement(None, f"needs at least {least} rows, there are {len(rows)}")
            continue
        value = compute[name]()
        usable = value is not None and np.isfinite(value)
        results[name] = Measurement(value) if usable else Measurement(None, "all rows are alike in this")
    return results


def _measures(rows: np.ndarray, sample: Sample) -> dict[str, Callable[[], float | None]]:
    norms = row_norms(rows)

    def of_spread(function: Callable[[], float | None]) -> Callable[[], float | None]:
        return function if sample.varies else lambda: None

    return {
        "norm_mean": lambda: float(norms.mean()),
        "norm_sd": lambda: float(norms.std(ddof=1)),
        "norm_variation": lambda: float(norms.std(ddof=1) / norms.mean()) if norms.any() else None,
        "first_norm_z": lambda: norm_z(norms, 0),
        "last_norm_z": lambda: norm_z(norms, len(norms) - 1),
        "neighbour_cosine": lambda: float(np.diagonal(cosines(sample.gram), 1).mean()),
        "order_accuracy": of_spread(lambda: order_accuracy(sample.gram)),
        "reverse_mapping_error": of_spread(lambda: reverse_mapping_error(sample.gram, sample.eigen)),
        "monotonicity": of_spread(lambda: monotonicity(sample.gram)),
        "toeplitz_share": lambda: toeplitz_share(sample.gram),
        "effective_rank": of_spread(lambda: effective_rank(sample.eigen[0])),
        "participation_ratio": of_spread(lambda: participation_ratio(sample.eigen[0])),
        "low_frequency_share": of_spread(lambda: low_frequency_share(energy_by_frequency(sample.rows))),
    }
