"""The formulas of a spec's encoding, filled in for a model's sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from milepost.catalog import CostFormula, EncodingRow, Sizes, Work, read_spec
from milepost.errors import OptionError
from milepost.options import SpecOptions
from milepost.spec import Spec


@dataclass(frozen=True)
class Priced:
    """An encoding with its options, in a model of given sizes; those of its table, where it has one."""

    row: EncodingRow
    formula: CostFormula
    options: SpecOptions
    sizes: Sizes

    @property
    def parameters(self) -> int:
        """How many numbers training moves."""
        return self.formula.parameters(self.sizes, self.options)

    @property
    def usable_length(self) -> int | None:
        """Positions that have an answer; ``None`` means no limit."""
        return self.row.usable(self.options, self.sizes.geometry)

    def work(self, length: int) -> Work:
        """Of one pass over ``length`` tokens."""
        return self.formula.work(self.sizes, self.options, length)


def price(spec: Spec, sizes: Sizes) -> Priced:
    """Look an encoding's formulas up in the catalogue; one that wraps another costs what is inside.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105, what cannot be built in such a model either, or an
            encoding without formulas.

    >>> price(Spec("learned"), Sizes(12, 768, 12, 12, 64, 512)).parameters
    393216
    """
    row, options = read_spec(spec)
    row.require(options, sizes.geometry)
    inside = row.inside(options, sizes.geometry)
    sizes = replace(sizes, max_len=inside.max_len, grid=inside.grid)
    if row.inner:
        return price(options.spec(row.inner), sizes)
    if row.cost is None:
        raise OptionError(
            f"the cost of {row.name} is not known",
            got="a row of the catalogue without formulas",
            fix="give its EncodingRow a CostFormula",
        )
    return Priced(row, row.cost, options, sizes)
