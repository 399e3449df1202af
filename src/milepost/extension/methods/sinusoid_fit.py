"""Continuing a table by the slow waves in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from milepost.extension.methods.base import TextMethod, option_field, register_method
from milepost.options import whole

if TYPE_CHECKING:
    from jaxtyping import Float


LOWEST_CYCLES = 0.5
"""Slowest wave that is looked for, in cycles over the old table."""
SHORTEST_PERIOD = 4
"""Fastest wave that is looked for, in positions."""
_STEPS = 64
"""Candidate frequencies to a cycle over the table."""


@final
@register_method("sinusoid-fit")
@dataclass(frozen=True)
class SinusoidFit(TextMethod):
    """Fit a constant and up to ``harmonics`` waves to the table, and let them run on.

    All columns share the frequencies; each has amplitudes and phases of its own. Frequencies are chosen one by
    one: the one at which the residual has the most power, summed over columns, among multiples of 1/64 cycle
    over the table, from half a cycle over the table to one in four positions, at least a whole cycle apart;
    after each choice all amplitudes are fitted anew by least squares. At most one wave for four rows is chosen.
    At the end all frequencies move together, each by a quarter of a cycle at most, to where least squares leaves least.
    What the waves do not explain is absent from the new rows, so there is a step at row n.

    Args:
        harmonics: the most waves to fit.

    Raises:
        OptionError: MP105, fewer than one. TableTooShort: MP102, fewer than four rows.

    Source: harmonic regression by orthogonal matching pursuit; sinusoids in trained tables as reported for GPT-2. No
    paper evaluates the continuation.

    >>> wave = np.sin(2 * np.pi * np.arange(96) / 32)[:, None]
    >>> bool(np.allclose(SinusoidFit(harmonics=1).apply(wave[:64], 96), wave, atol=1e-4))
    True
    """

    guarantee = "rows 0..n-1 are bit-identical; new rows continue the slow waves fitted to them"
    source = "harmonic regression (orthogonal matching pursuit); no paper evaluates it for position tables"
    keeps_old_rows = True

    harmonics: int = option_field(whole(8, least=1))

    def fewest_rows(self) -> int:
        """Enough for one wave."""
        return 4

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        n = len(rows)
        cycles = np.arange(_STEPS * n // 2 + 1) / _STEPS  # over the table
        allowed = (cycles >= LOWEST_CYCLES) & (cycles <= n / SHORTEST_PERIOD)
        chosen: list[float] = []
        waves = _waves(n, n, chosen)
        for _ in range(min(self.harmonics, n // 4)):
            residual = rows - waves @ np.linalg.lstsq(waves, rows)[0]
            power = np.where(allowed, _power(residual), 0.0)
            if power.max() <= 1e-20 * n * np.square(rows).sum():
                break  # nothing is left but rounding
            chosen.append(float(cycles[power.argmax()]))
            allowed &= np.abs(cycles - chosen[-1]) >= 1
            waves = _waves(n, n, chosen)
        refined = _refine(rows, chosen)
        return _waves(to_length, n, refined) @ np.linalg.lstsq(_waves(n, n, refined), rows)[0]


def _refine(rows: Float[np.ndarray, "rows dim"], cycles: list[float]) -> list[float]:
    """Move all frequencies together, a quarter cycle at most, to where least squares leaves least."""
    from scipy.optimize import minimize  # slow to import

    n, total = len(rows), np.square(rows).sum()
    if not cycles:
        return cycles

    def left(moved: Float[np.ndarray, " waves"]) -> float:
        basis = np.linalg.qr(_waves(n, n, moved.tolist()))[0]
        return float(np.square(rows - basis @ (basis.T @ rows)).sum() / total)

    bounds = [(one - 0.25, one + 0.25) for one in cycles]
    found: list[float] = minimize(left, cycles, method="L-BFGS-B", bounds=bounds).x.tolist()
    return found


def _waves(length: int, n: int, cycles: list[float]) -> Float[np.ndarray, "length waves"]:
    """The constant, then a cosine and a sine for each frequency, at positions 0..length-1."""
    angles = np.arange(length)[:, None] * (2 * np.pi / n) * np.array(cycles)
    return np.concatenate([np.ones((length, 1)), np.cos(angles), np.sin(angles)], axis=1)


def _power(residual: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, " candidates"]:
    """Power at each candidate frequency, summed over the columns: the transform of their autocorrelation."""
    n = len(residual)
    spectrum = np.square(np.abs(np.fft.rfft(residual, 2 * n, axis=0))).sum(axis=1)
    correlation = np.fft.irfft(spectrum)[:n]
    correlation[1:] *= 2  # both directions
    return np.fft.rfft(correlation, _STEPS * n).real
