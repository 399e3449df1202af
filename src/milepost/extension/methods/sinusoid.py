"""Fixed sinusoids: further rows by the formula that made the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from milepost.errors import DataError
from milepost.extension.methods.base import TextMethod

if TYPE_CHECKING:
    from jaxtyping import Float

_ROUNDING: Final = 2.0**-8  # of bfloat16, the coarsest format of such tables, and some


@final
@dataclass(frozen=True)
class Sinusoid(TextMethod):
    """Rows of the sinusoid that a family's own code makes: nothing is learned, so nothing is invented.

    It is what ``extend`` takes for such a model and no choice for others, so the registry does not have it. Old
    rows stay the bytes they are; the new ones are, bit for bit, those of transformers.

    Attributes:
        layout: ``halves``, sines first, or ``interleaved``, sines and cosines in turn.

    Source: Vaswani et al. 2017, section 3.5. Differs: none of position or width; ``halves`` as in Marian's models.

    >>> table = Sinusoid("interleaved").formula(2, 4)
    >>> Sinusoid("interleaved").apply(table, 3)[:, 0].round(3).tolist()
    [0.0, 0.841, 0.909]
    """

    layout: str = "halves"

    name: ClassVar[str] = "sinusoid"
    guarantee = "rows 0..n-1 are bit-identical; new rows are those that the family's own code makes"
    source = "Vaswani et al. 2017, section 3.5, as the family's code computes it"
    keeps_old_rows = True

    def formula(self, rows: int, dim: int) -> Float[np.ndarray, "rows dim"]:
        """The rows from 0 on, float64."""
        # the order of operations, and strides too, are those that the rows of transformers are rounded from
        periods = np.array([np.power(10000, 2 * (at // 2) / dim) for at in range(dim)])
        angles = np.arange(rows)[:, None] / periods
        sines, cosines = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
        if self.layout == "halves":
            return np.concatenate([sines, cosines], axis=1)
        made = np.empty((rows, dim))
        made[:, 0::2], made[:, 1::2] = sines, cosines
        return made

    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        made = self.formula(to_length, rows.shape[1])
        apart = float(np.abs(made[: len(rows)] - rows).max())
        if apart > _ROUNDING:
            raise DataError(
                "the stored table is not the sinusoid that the configuration speaks of",
                got=f"rows up to {apart:.3g} apart",
                fix="see what it is: milepost inspect MODEL",
            )
        return made
