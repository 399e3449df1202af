"""What stands where a family's positions came from."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from milepost.encodings import Encoding, Positions
from milepost.errors import SwapRefused


class Slot(nn.Module):
    """Stands in a family's place for its table and answers with the vectors of this call.

    The state dict has the table's name and no rows: stock classes that open a folder saved from here
    find another shape than theirs and raise, where a missing table would be filled with noise.
    """

    encoding: Encoding

    def __init__(self, encoding: Encoding, like: Tensor, first_row: int) -> None:
        super().__init__()
        # not by register_buffer: ``weight`` is what families that read a table's rows themselves see
        self._buffers["weight"] = like.new_empty(0, like.shape[-1])
        self.__dict__["encoding"] = encoding  # its parameters belong to the base model
        self.first_row = first_row
        self.handed: Tensor | None = None

    @property
    def empty(self) -> Tensor:
        """The stored table without rows: dtype, device and width of the embeddings."""
        table = self._buffers["weight"]
        assert table is not None
        return table

    @property
    def weight(self) -> Tensor:
        """The rows of this call, for families that look at the table itself."""
        return self.empty if self.handed is None else self.handed.reshape(-1, self.empty.shape[-1])

    def forward(self, rows: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Vectors for this call: those handed over, or those of the family's own ``rows``."""
        if self.handed is not None:
            return self.handed
        if "vectors" not in self.encoding.places:
            return self.empty.new_zeros(())
        if not isinstance(rows, Tensor) or rows.is_floating_point() or args or kwargs:
            raise SwapRefused(
                "the position table was called without positions",
                got="a part used outside of its model",
                fix="call the model, not its parts",
            )
        return self.read(rows - self.first_row, self.encoding)

    def read(
        self,
        positions: Positions,
        encoding: Encoding,
        *,
        missing: Tensor | None = None,
        rows: int | None = None,
    ) -> Tensor:
        """Vectors at positions, in the dtype of the embeddings beside them.

        Args:
            positions: where.
            encoding: that of the slot, or its answer for images of another size.
            missing: true where a token has no position, and so a vector of zeros.
            rows: of the zeros that stand for an encoding without vectors.
        """
        if "vectors" not in encoding.places:
            return self.empty.new_zeros(() if rows is None else (rows, self.empty.shape[-1]))
        vectors = encoding.vectors(positions, device=self.empty.device)
        assert vectors is not None
        vectors = vectors.to(self.empty)
        return vectors if missing is None else vectors.masked_fill(missing[..., None], 0.0)


class ParameterSlot:
    """Stands for a table that is a parameter ``[1, rows, dim]`` of the module that adds it.

    A buffer of the parameter's name holds no rows between calls, and the vectors of a call during it.
    """

    def __init__(self, owner: nn.Module, name: str, slot: Slot) -> None:
        self.owner, self.name, self.slot = owner, name, slot

    def take_place(self) -> None:
        """Put the buffer in the parameter's place."""
        delattr(self.owner, self.name)
        self.owner.register_buffer(self.name, self.slot.empty[None])

    def hand(self, vectors: Tensor) -> None:
        """Show the owner the vectors of this call."""
        setattr(self.owner, self.name, vectors if vectors.ndim == 3 else vectors[None])

    def clear(self) -> None:
        """Show the owner no rows again."""
        setattr(self.owner, self.name, self.slot.empty[None])


class Silent(nn.Module):
    """Stands for a rotary module: a cosine of 1 and a sine of 0, by which nothing is turned."""

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Turn nothing, whatever the positions."""
        return hidden.new_ones(1, 1, 1), hidden.new_zeros(1, 1, 1)
