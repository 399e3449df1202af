"""What the checks of a table look at, and how they say what they saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from milepost.diagnostics.inspect.findings.period import tile_period
from milepost.diagnostics.inspect.measures import row_norms
from milepost.finding import Checks, Finding, Verdict
from milepost.statistics.chance import ChanceLevel

if TYPE_CHECKING:
    from jaxtyping import Float, Int

# Relative size of rounding, by stored dtype; 8-bit formats round too coarsely for the tests that need it.
_ROUNDING = {"F64": 2.0**-24, "F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}


@dataclass(frozen=True, eq=False)
class Facts:
    """A table and all that is known of it.

    Attributes:
        rows: all rows that are stored, ``(rows, dim)``.
        key: the tensor's name, as data.
        dtype: as stored, in the words of safetensors.
        first_row: row of position 0; rows before it are reserved.
        prefix_rows: the first rows, of class tokens; they are no positions.
        trailing_rows: rows after the last position.
        padding_row: the row that training holds at zero, if any.
        knows_reserved_rows: whether a family says that rows before ``first_row`` are reserved; a user who names ``first_row`` does not.
        kind: ``learned``, ``patches`` or ``fixed_sinusoid``.
        trained_counts: gradients that each row got, if somebody counted.
        initial_sd: standard deviation that rows start with, by the configuration, if it says.
        values: the measures' values.
        chance: their chance levels.
    """

    rows: Float[np.ndarray, "rows dim"]
    key: str = ""
    dtype: str = "F32"
    first_row: int = 0
    prefix_rows: int = 0
    trailing_rows: int = 0
    padding_row: int | None = None
    knows_reserved_rows: bool = True
    kind: str = "learned"
    trained_counts: Int[np.ndarray, " rows"] | None = None
    initial_sd: float | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    chance: Mapping[str, ChanceLevel] = field(default_factory=dict)

    @cached_property
    def start(self) -> int:
        """The row of the first position, class tokens left out."""
        return max(self.first_row, self.prefix_rows)

    @cached_property
    def positions(self) -> Float[np.ndarray, "positions dim"]:
        """The rows of positions, in their order: a view."""
        return self.rows[self.start : len(self.rows) - self.trailing_rows]

    @cached_property
    def norms(self) -> Float[np.ndarray, " positions"]:
        """Norms of ``positions``."""
        return row_norms(self.positions)

    @cached_property
    def counts(self) -> Int[np.ndarray, " positions"] | None:
        """``trained_counts`` of ``positions``."""
        if self.trained_counts is None:
            return None
        return self.trained_counts[self.start : len(self.rows) - self.trailing_rows]

    @cached_property
    def period(self) -> int | None:
        """The period of ``positions``, if they repeat."""
        return tile_period(self.positions)

    @property
    def dim(self) -> int:
        """The width of the table."""
        return int(self.rows.shape[1])

    @property
    def rounding(self) -> float | None:
        """Relative size of a rounding error in the stored dtype, None where it is too coarse to reason with."""
        return _ROUNDING.get(self.dtype)

    def where(self, positions: Sequence[int] | np.ndarray) -> str:
        """Name rows by their index in the stored table, runs shortened: ``rows 2, 5..9``.

        >>> Facts(np.zeros((9, 1)), first_row=2).where([0, 3, 4, 5])
        'rows 2, 5..7'
        """
        return name_rows([self.start + int(position) for position in positions])


CHECKS: Checks[Facts] = Checks("docs/findings")


def check_table(facts: Facts) -> list[Finding]:
    """Run every check on one table, in the order of the codes.

    A table with values that are not finite gets ``cannot_tell`` from all but the check for them.

    >>> [f.code for f in check_table(Facts(np.zeros((4, 2)))) if f.status == "issue"]
    ['MP205']
    """
    finite = bool(np.isfinite(facts.rows).all())
    results: list[Finding] = []
    for code, check in CHECKS.items():
        if not len(facts.positions):
            verdicts = [Verdict("not_applicable", "the table has no row for a position")]
        elif finite or code == "MP207":
            with np.errstate(all="ignore"):  # rows of zeros and of absurd size are what is looked for
                verdicts = check.run(facts)
        else:
            verdicts = [Verdict("cannot_tell", "the table holds values that are not finite (MP207)")]
        results += map(check.report, verdicts)
    return results


def median_of(values: np.ndarray | Sequence[float]) -> float:
    """The median; np.median would import numpy.ma, for a tenth of what an inspection takes.

    >>> median_of([1.0, 3.0, 9.0])
    3.0
    """
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def name_rows(rows: Sequence[int], most: int = 6) -> str:
    """``row 3`` or ``rows 2, 5..9``; after ``most`` runs only how many rows there are.

    >>> name_rows([3])
    'row 3'
    >>> name_rows(range(0, 100, 2))
    'rows 0, 2, 4, 6, 8, 10, ... (50 rows)'
    """
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][-1] + 1:
            runs[-1][1:] = [row]
        else:
            runs.append([row])
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs[:most]]
    rest = f", ... ({len(rows)} rows)" if len(runs) > most else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(names)}{rest}"
