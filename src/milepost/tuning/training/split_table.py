"""A position table in two tensors: rows that stay, and rows that are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from milepost.errors import ModelError

if TYPE_CHECKING:
    from jaxtyping import Float


@final
class SplitTable(nn.Module):
    """A table whose first rows are a buffer and whose other rows are a parameter.

    An optimiser that is given ``parameters()`` cannot move a row of the buffer: it is in no graph, and neither weight decay
    nor moments know of it. (A mask on the gradient of one whole table leaves both to move masked rows.)

    Args:
        rows: the whole table. Copied.
        begin: the first row that is trained.
        first_row: the row of position 0.

    >>> table = SplitTable(torch.arange(4.0)[:, None], 2, first_row=0)
    >>> [tuple(one.shape) for one in table.parameters()], table.window(1, kept=1)[:, 0].tolist()
    ([(2, 1)], [0.0, 2.0, 3.0])
    """

    frozen: Float[Tensor, "frozen dim"]
    tuned: Float[Tensor, "tuned dim"]

    def __init__(self, rows: Float[Tensor, "rows dim"], begin: int, *, first_row: int) -> None:
        super().__init__()
        self.register_buffer("frozen", rows[:begin].detach().clone())
        self.tuned = nn.Parameter(rows[begin:].detach().clone())
        self.first_row = first_row

    def rows(self) -> Float[Tensor, "rows dim"]:
        """The whole table; gradients reach the trained rows alone."""
        return torch.cat([self.frozen, self.tuned])

    def window(self, offset: int, *, kept: int) -> Float[Tensor, "fewer dim"]:
        """The table as an input sees it that lies ``offset`` positions further back.

        The model counts positions from 0 as ever, by its family's own rule, and reads the row of ``offset`` positions later.

        Args:
            offset: positions by which the input is moved.
            kept: positions at the front that stay where they are: those of the special tokens before a text.
        """
        rows = self.rows()
        front = self.first_row + kept
        return torch.cat([rows[:front], rows[front + offset :]]) if offset else rows


def find_parameter(model: nn.Module, key: str, rows: Float[Tensor, "rows dim"]) -> str:
    """The name of the parameter in ``model`` that a file calls ``key``; a class may add or drop a prefix.

    Raises:
        ModelError: MP124, when there is none, several, or one of other values: then nobody knows what would be trained.
    """
    held = dict(model.named_parameters(remove_duplicate=False))
    names = [name for name in held if name == key or name.endswith(f".{key}") or key.endswith(f".{name}")]
    if len(names) != 1 or not torch.equal(held[names[0]].detach().cpu().to(rows.dtype), rows):
        raise ModelError(
            "the model does not hold the table that its file holds",
            got=f"{key!a} as {', '.join(map(ascii, names)) or 'nothing'}",
            fix="load the model with transformers, and save it again",
        )
    return names[0]
