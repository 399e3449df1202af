"""What tables share that store a trained row for each position."""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import Geometry, find_row, require_grid
from milepost.encodings.angles import build_sinusoid
from milepost.encodings.base import Encoding
from milepost.encodings.grid import STRETCHED
from milepost.encodings.table import StoredPositions
from milepost.errors import OptionError
from milepost.options import SpecOptions


def build_table(
    make: Callable[..., StoredPositions], options: SpecOptions, geometry: Geometry
) -> StoredPositions:
    """Build a table for a model from the options of ``table_row``.

    ``std=auto`` is the rms of the token embeddings next to it. ``rows`` above 0 takes the place of the model's own
    number of positions: rows that training does not reach keep their initial values.
    """
    past = options.word("past")
    made = make(
        options.whole("rows") or geometry.max_len,
        geometry.dim,
        init=options.word("init"),
        std=options.number("std", auto=geometry.embedding_rms),
        past=past,
        count=options.word("count") == "on",
    )
    return made.lay_out(require_grid(f"past={past}", geometry)) if past in STRETCHED else made


class RowTable(StoredPositions, abc.ABC):
    """A trainable table ``weight`` of shape ``(max_len, dim)``, added to the token embeddings.

    A variant says in ``change`` what a call answers for the rows that it has read, and is registered with a row from
    ``milepost.catalog.table_row``. Swapped into a model, it takes over the rows of the table that is there unless its
    spec asks for fresh ones. Arguments are those of ``LearnedPositions``.

    Raises:
        OptionError: MP105, a size below 1 or an unknown word.

    >>> class Halved(RowTable):
    ...     def change(self, vectors):
    ...         return vectors / 2
    >>> Halved.from_table(torch.ones(4, 2)).vectors(range(1)).tolist()
    [[0.5, 0.5]]
    """

    fresh: ClassVar[frozenset[str]] = frozenset({"init", "std", "rank", "rows"})
    """Options that ask for other rows than those of a table that is there."""

    def __init__(
        self,
        max_len: int,
        dim: int,
        *,
        init: str = "normal",
        std: float = 0.02,
        past: str = "error",
        count: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(max_len, dim, past, count=count, device=device)
        given = find_row("learned").read(init=init, std=std)
        self.init = given.word("init")
        self.std = 0.0 if init == "zeros" else given.number("std", auto=0.02)
        self.weight = nn.Parameter(torch.empty(max_len, dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_table(cls, table: Float[Tensor, "rows dim"], *, past: str = "error") -> Self:
        """Build from given rows, copied; they keep their dtype and device.

        ``std`` becomes their root mean square, measured in float32.

        Raises:
            OptionError: MP105, a tensor that is no table of floating-point rows.

        >>> import milepost
        >>> milepost.LearnedPositions.from_table(torch.ones(4, 2)).weight.sum().item()
        8.0
        """
        if table.ndim != 2 or not table.is_floating_point():
            raise OptionError(
                "a position table has two axes, rows and dim, of floating-point numbers",
                got=f"shape {tuple(table.shape)}, {table.dtype}",
                fix="pass a tensor of shape (rows, dim)",
            )
        made = cls(*table.shape, past=past, init="zeros", device=table.device, dtype=table.dtype)
        with torch.no_grad():
            made.weight.copy_(table)
        if table.device.type != "meta":
            made.std = table.detach().float().square().mean().sqrt().item()
        return made

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Encoding:
        """Build for a model, see ``build_table``."""
        return build_table(cls, options, geometry)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Give the table its initial values again, in place; nothing is used yet."""
        if self.trained_counts is not None:
            self.trained_counts.zero_()
        if self.init == "normal":
            self.weight.normal_(0.0, self.std)
        elif self.init == "zeros":
            self.weight.zero_()
        else:
            positions = torch.arange(self.max_len, device=self.weight.device)
            self.weight.copy_(build_sinusoid(positions, self.dim, rms=self.std))

    @property
    def scales(self) -> dict[str, float]:
        """Standard deviation (``normal``) or root mean square of the initial table."""
        return {"std": self.std}

    @classmethod
    def keeps_rows(cls, given: Collection[str]) -> bool:
        """Whether none of the options ``given`` asks for fresh rows."""
        return not cls.fresh.intersection(given)

    def take_rows(self, rows: Float[Tensor, "rows dim"]) -> None:
        """Store copies of the first ``max_len`` rows, in their dtype and on their device."""
        self.weight.data = rows[: self.max_len].clone()

    def _slice(self, start: int, stop: int) -> Float[Tensor, "rows dim"]:
        return self.weight[start:stop]

    def _gather(self, rows: Int64[Tensor, "*batch seq"]) -> Float[Tensor, "*batch seq dim"]:
        return nn.functional.embedding(rows, self.weight)
