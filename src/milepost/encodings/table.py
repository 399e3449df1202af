"""What tables of position vectors share: rows by position, and what happens past the last one."""

from __future__ import annotations

import abc
import copy
from collections.abc import Collection
from typing import Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.func import debug_unwrap

from milepost.catalog import find_row
from milepost.catalog.checks import check_patches
from milepost.encodings.base import Encoding, Positions
from milepost.encodings.deferred import Deferred
from milepost.encodings.grid import STRETCHED, stretch_rows
from milepost.encodings.groups import group_rows
from milepost.encodings.positions import count_from, require_contiguous, require_whole
from milepost.encodings.tracing import has_values, is_at_host, is_exported, is_traced
from milepost.errors import OptionError, PastTheEnd


class StoredPositions(Encoding, abc.ABC):
    """One stored row a position; position p is row p.

    Past the last row, ``past`` decides: ``error`` raises, ``clamp`` answers with the last row, ``tile``
    starts again at row 0, ``group`` lets neighbours share a row (see ``group``). For images,
    ``linear`` and ``bicubic`` resample the rows of the patches (see ``at_grid``); a position past the last row of
    the image that was named is an error. Negative positions are errors always. Lengths known to the host and
    positions on the CPU are checked at once. Elsewhere, and in a compiled graph, no value is read: the
    index is clamped, so nothing illegal reaches the device, the vector is NaN, and outside a compiled
    graph the error is raised by the next call that finds the verdict arrived, or by
    ``check_positions_seen``.

    With ``count``, the buffer ``trained_counts`` (int64, in the state dict) holds in how many forward passes in
    training mode, with gradients, each row was used: rows at 0 were never trained. Nothing waits for a
    device. A pass that gradient checkpointing repeats counts twice.
    """

    trained_counts: Int64[Tensor, " rows"] | None
    # rows for an image of another grid than that of the stored ones
    _resampled: Float[Tensor, "rows dim"] | None = None

    def __init__(
        self, max_len: int, dim: int, past: str, *, count: bool, device: torch.device | str | None
    ) -> None:
        super().__init__()
        for name, value in (("max_len", max_len), ("dim", dim)):
            if value < 1:
                raise OptionError(
                    f"{name} must be at least 1", got=f"{name}={value}", fix=f"give a positive {name}"
                )
        self.max_len = max_len
        self.dim = dim
        self.past = find_row("learned").read(past=past).word("past")
        self.grid: tuple[int, int] | None = None
        # int64 and in the state dict: nothing rounds it, nothing refills it; None leaves no key behind
        counts = torch.zeros(max_len, dtype=torch.int64, device=device) if count else None
        self.register_buffer("trained_counts", counts)
        self._deferred = Deferred()

    @abc.abstractmethod
    def _slice(self, start: int, stop: int) -> Float[Tensor, "rows dim"]:
        """Rows ``start`` to ``stop``, both inside the table."""

    @abc.abstractmethod
    def _gather(self, rows: Int64[Tensor, "*batch seq"]) -> Float[Tensor, "*batch seq dim"]:
        """Rows at indices inside the table."""

    def change(self, vectors: Float[Tensor, "*batch seq dim"]) -> Float[Tensor, "*batch seq dim"]:
        """What a call answers for the rows that it has read; they themselves, unless a variant says otherwise."""
        return vectors

    @classmethod
    def keeps_rows(cls, given: Collection[str]) -> bool:
        """Whether a spec with the options ``given`` means the rows of the table in whose place it is put.

        Classes that say so implement ``take_rows``.
        """
        return False

    def take_rows(self, rows: Float[Tensor, "rows dim"]) -> None:
        """Store rows of positions 0, 1, 2, ... that another table had; there are enough of them."""
        raise NotImplementedError

    def stored_rows(self) -> Float[Tensor, "rows dim"]:
        """Rows of positions 0, 1, 2, ..., without gradient; a view of the parameter where there is one."""
        return self._slice(0, self.max_len).detach()

    @property
    def usable_length(self) -> int | None:
        """Rows of the table; ``None`` where an overflow rule answers past them."""
        return self.max_len if self.past == "error" else None

    def vectors(
        self, positions: Positions, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch seq dim"]:
        """Rows at ``positions``: a slice for a ``range``, a gather for a tensor.

        Raises:
            PastTheEnd: MP101, a position that has no row; see the class for when.
        """
        if isinstance(positions, range) and self.past == "group":
            positions = self.group(positions, device=next(self.parameters()).device)
        if isinstance(positions, range):
            return self._at_range(positions)
        require_whole(positions)
        traced = is_traced()
        seen = positions if traced else debug_unwrap(positions)  # under vmap: those of the whole batch
        checked = not traced and self._check_values(seen)
        self._count(seen)
        if checked:
            return self._at(self._rows(positions))
        rows, missing = self._clamp(positions)
        return self._at(rows).masked_fill(missing[..., None], float("nan"))

    def vectors_from(
        self, start: int, length: int, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "seq dim"]:
        """Rows ``start`` to ``start + length``; a traced graph does not fix ``length``.

        Raises:
            PastTheEnd: MP101, a position that has no row; in an exported graph its vector is NaN.
        """
        stop = start + length
        if is_traced():
            if self.past == "error" and not is_exported():
                self._check(start, stop - 1)
                return self._between(start, stop)
        elif isinstance(length, int):
            within = 0 <= start < stop <= self.max_len
            return self._between(start, stop) if within else self.vectors(range(start, stop))
        device = next(self.parameters()).device if device is None else device
        return self.vectors(self.group(count_from(start, length, device=device), device=device))

    def group(
        self,
        positions: Positions,
        *,
        real: Bool[Tensor, "batch seq"] | None = None,
        cached: bool = False,
        device: torch.device | str | None = None,
    ) -> Positions:
        """Rows that the positions of whole inputs read under ``past=group``, see ``group_rows``; other tables change nothing.

        A model calls this before ``vectors``, for it alone knows which tokens are real; ``vectors`` takes a ``range``
        for a whole input. Rows come back as they are.

        Raises:
            PastTheEnd: MP101, the size of the groups of a cached ``range`` would change.

        >>> from milepost import LearnedPositions
        >>> LearnedPositions(4, 2, past="group").group(range(6)).tolist()
        [0, 0, 1, 1, 2, 2]
        """
        if self.past != "group" or (isinstance(positions, range) and positions.stop <= self.max_len):
            return positions
        if isinstance(positions, range):
            size = -(-positions.stop // self.max_len)
            if cached and positions.start and -(-positions.start // self.max_len) != size:
                self._check(0, positions.stop - 1)
            return torch.arange(positions.start, positions.stop, device=device) // size
        return group_rows(positions, self.max_len, real=real, cached=cached)

    def lay_out(self, grid: tuple[int, int]) -> Self:
        """Say which patches the last rows stand for: ``grid`` rows and columns; the rows before are the prefix's.

        Returns:
            This table.

        Raises:
            OptionError: MP105, more patches than rows.
        """
        check_patches(grid, self.max_len)
        self.grid = grid
        return self

    def at_grid(self, grid: tuple[int, int]) -> Encoding:
        """The table for an image of another grid, where ``past`` is ``linear`` or ``bicubic``; else this one.

        Raises:
            OptionError: MP105, when the table's own grid was never said (``lay_out``).
        """
        if self.past not in STRETCHED or grid == self.grid:
            return self
        if self.grid is None:
            raise OptionError(
                f"past={self.past} is for images: it needs the rows and columns of their patches",
                got="a table that was not laid out",
                fix="table.lay_out((14, 14)), or a spec and Geometry(..., grid=(14, 14), prefix=1)",
            )
        other = copy.copy(self)
        other.max_len += grid[0] * grid[1] - self.grid[0] * self.grid[1]
        other._resampled = stretch_rows(self._slice(0, self.max_len), self.grid, grid, self.past)
        return other.lay_out(grid)

    def forward(
        self, embeddings: Float[Tensor, "batch seq dim"], positions: Positions | None = None
    ) -> Float[Tensor, "batch seq dim"]:
        """Add position vectors to token embeddings: ``embed`` under torch's own name."""
        return self.embed(embeddings, positions)

    def check_length(self, length: int) -> None:
        """Refuse an input whose last positions have no row.

        Raises:
            PastTheEnd: MP101, more positions than ``usable_length``.
        """
        if self.usable_length is not None:
            self._check(0, length - 1)

    def check_positions_seen(self) -> None:
        """Raise what earlier calls on a device put off; waits for the device.

        Raises:
            PastTheEnd: MP101, a position without a row was asked for since the last check.
        """
        self._deferred.poll(self._check, wait=True)

    def _at_range(self, positions: range) -> Tensor:
        if not positions:
            return self._slice(0, 0)
        self._check(positions.start, positions.stop - 1)
        require_contiguous(positions)
        if positions.stop <= self.max_len:
            return self._between(positions.start, positions.stop)
        beyond = torch.arange(positions.start, positions.stop, device=next(self.parameters()).device)
        self._count(beyond)
        return self._at(self._rows(beyond))

    def _between(self, start: int, stop: int) -> Tensor:
        if self._counts():
            assert self.trained_counts is not None
            self.trained_counts[start:stop] += 1
        rows = self._slice(start, stop) if self._resampled is None else self._resampled[start:stop]
        return self.change(rows)

    def _at(self, rows: Tensor) -> Tensor:
        if self._resampled is None:
            return self.change(self._gather(rows))
        return self.change(nn.functional.embedding(rows, self._resampled))

    def _check_values(self, positions: Tensor) -> bool:
        """Check positions on the CPU now, and put others off; whether all are known to have a row."""
        if not has_values(positions):
            return False
        self._deferred.poll(self._check)
        at_host = is_at_host(positions)
        if positions.numel() and at_host:
            lowest, highest = torch.aminmax(positions)
            self._check(int(lowest), int(highest))
        elif positions.numel():
            self._deferred.note(positions)
        return at_host

    def _clamp(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Rows inside the table for any positions, and which positions have none."""
        missing = positions < 0
        if self.past not in ("clamp", "tile"):
            missing = missing | (positions >= self.max_len)
        return self._rows(positions.clamp(min=0)).clamp(max=self.max_len - 1), missing

    def _counts(self) -> bool:
        return (
            self.trained_counts is not None
            and self._resampled is None  # those rows are not the ones that are counted
            and self.training
            and torch.is_grad_enabled()
        )

    def _count(self, positions: Tensor) -> None:
        """Count the row of each position once; the added row ``max_len`` stands for none."""
        if self._counts():
            assert self.trained_counts is not None
            rows, missing = self._clamp(positions)
            rows = rows.masked_fill(missing, self.max_len).flatten()
            used = self.trained_counts.new_zeros(self.max_len + 1).index_fill_(0, rows, 1)
            self.trained_counts += used[:-1]

    def _rows(self, positions: Tensor) -> Tensor:
        """Rows of positions from 0 on, by the overflow rule."""
        if self.past == "clamp":
            return positions.clamp(max=self.max_len - 1)
        return positions.remainder(self.max_len) if self.past == "tile" else positions

    def _check(self, lowest: int, highest: int) -> None:
        if lowest < 0:
            raise PastTheEnd(
                f"position {lowest} lies before the first row of the table",
                got=f"{self.max_len} usable positions, smallest position asked for {lowest}",
                fix="count positions from 0; a pad needs a position too: build_positions gives it 0",
            )
        if highest >= self.max_len and self.past == "group":
            raise PastTheEnd(
                "a cached input is past the length that its groups were made for",
                got=f"{self.max_len} rows, an input that needs larger groups than its cached part has",
                fix="run it without a cache: use_cache=False",
            )
        if highest >= self.max_len and self.past in ("error", *STRETCHED):
            enough = 1 << highest.bit_length()
            raise PastTheEnd(
                f"position {highest} is past the end of the table",
                got=f"{self.max_len} usable positions, largest position asked for {highest}",
                fix=self._remedy(enough),
            )

    def _remedy(self, enough: int) -> str:
        """What the error proposes to whoever went past the end."""
        return f"shorten the input, or grow the table: milepost extend MODEL --to {enough}"

    def extra_repr(self) -> str:
        """Sizes and the overflow rule, for printing the module."""
        return f"{self.max_len}, {self.dim}, past={self.past!r}"
