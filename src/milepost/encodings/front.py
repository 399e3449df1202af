"""The front of a Transformer: tokens, positions, segments, layer norm and dropout in one module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from milepost.encodings.learned import LearnedPositions
from milepost.encodings.positions import build_positions
from milepost.encodings.tracing import is_exported, is_traced
from milepost.errors import OptionError, PastTheEnd

# names of tokens, positions, segments, scale and shift in each family's own files, prefix left out
KEYS: Mapping[str, tuple[str, ...]] = {
    "bert": (
        "word_embeddings.weight",
        "position_embeddings.weight",
        "token_type_embeddings.weight",
        "LayerNorm.weight",
        "LayerNorm.bias",
    ),
    "gpt2": ("wte.weight", "wpe.weight"),
    "opt": ("embed_tokens.weight", "embed_positions.weight"),
}
KEYS = {**KEYS, "roberta": KEYS["bert"]}
_WORTH_A_CALL = 1 << 16  # numbers in a sequence, below which separate calls for each cost more than they save
_OURS = ("tokens.weight", "positions.weight", "segments.weight", "norm.weight", "norm.bias")


@dataclass(frozen=True)
class FrontShape:
    """What a front is made of.

    Args:
        vocabulary: rows of the token table.
        dim: width of the embeddings.
        rows: rows of the position table, unused ones before ``first_row`` included.
        first_row: row of position 0 (BERT, GPT-2: 0; RoBERTa: pad + 1; OPT: 2).
        segments: rows of the segment table; 0 for none.
        epsilon: of the layer norm; ``None`` for no layer norm.
        dropout: share of the output that training drops.
        pad: token whose embedding gets no gradient; ``None`` for none.
        pad_by_token: find pads by their token, whatever the mask says, as RoBERTa does, whose pads train
            no position; else by the mask alone. Needs ``pad`` and a ``first_row`` above 0.

    Raises:
        OptionError: MP105, pads to be found by a token that is not named, or without a row of their own.
    """

    vocabulary: int
    dim: int
    rows: int
    first_row: int = 0
    segments: int = 0
    epsilon: float | None = None
    dropout: float = 0.0
    pad: int | None = None
    pad_by_token: bool = False

    def __post_init__(self) -> None:
        if self.pad_by_token and (self.pad is None or self.first_row < 1):
            raise OptionError(
                "pads found by their token need a token and a row before the first",
                got=f"pad={self.pad}, first_row={self.first_row}",
                fix="pad=1, first_row=2, as RoBERTa has it",
            )


class TokenAndPositionEmbedding(nn.Module):
    """Token plus position (plus segment) embeddings (then layer norm, dropout), as BERT and GPT-2 have it.

    Equals transformers' own modules to rounding. Contiguous positions are a slice, joined with a single
    segment before the batch is touched, and added in place; on the CPU without gradients, each sequence is
    finished before the next. The position gradient is a sum over the batch in a fixed order.

    Args:
        shape: what it is made of.
        keep_gradient: add the token gradient straight into the ``grad`` buffer of ``tokens.weight`` and
            keep that buffer: its fresh memory is most of the cost of a backward pass. Then clear it with
            ``zero_grad(set_to_none=False)``; ``torch.autograd.grad``, hooks on the parameter, gradient
            scaling per parameter and DistributedDataParallel do not see this gradient, and compiled
            graphs are not for it.
        device: where the tables live.
        dtype: of the tables.

    Source: Devlin et al. 2019, figure 2; Radford et al. 2019.

    >>> front = TokenAndPositionEmbedding(FrontShape(100, 8, 16, segments=2, epsilon=1e-12))
    >>> front(torch.zeros(2, 5, dtype=torch.int64)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        shape: FrontShape,
        *,
        keep_gradient: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.keep_gradient = keep_gradient
        kind: Any = {"device": device, "dtype": dtype}
        self.tokens = nn.Embedding(shape.vocabulary, shape.dim, padding_idx=shape.pad, **kind)
        self.positions = LearnedPositions(shape.rows, shape.dim, **kind)
        self.segments = nn.Embedding(shape.segments, shape.dim, **kind) if shape.segments else None
        self.norm = None if shape.epsilon is None else nn.LayerNorm(shape.dim, eps=shape.epsilon, **kind)
        for table in (self.tokens, self.segments):
            if table is not None:
                nn.init.normal_(table.weight, std=self.positions.std)

    def load_family(self, state: Mapping[str, Tensor], family: str) -> None:
        """Take the weights of a checkpoint by the family's own names, whatever their prefix; in place.

        Args:
            state: tensors by name, of the whole model or of a part.
            family: ``bert``, ``roberta``, ``gpt2`` or ``opt``.

        Raises:
            OptionError: MP105, an unknown family, or a name that is missing or found twice; the module
                is as it was.
        """
        if family not in KEYS:
            raise OptionError("this front has no such family", got=family, fix=f"one of {', '.join(KEYS)}")
        found = {}
        for ours, theirs in zip(_OURS, KEYS[family], strict=False):
            names = [name for name in state if name == theirs or name.endswith("embeddings." + theirs)]
            names = names or [name for name in state if name.endswith("." + theirs)]
            if len(names) != 1:
                raise OptionError(
                    f"{theirs} must be there once",
                    got=", ".join(names) or "not there",
                    fix="pass the state dict of one model of this family",
                )
            found[ours] = state[names[0]]
        own = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        if {name: tuple(tensor.shape) for name, tensor in found.items()} != own:
            raise OptionError("the tensors do not fit this front", got=f"{family}", fix=f"wanted {own}")
        self.load_state_dict(found)

    def forward(
        self,
        tokens: Int[Tensor, "batch seq"],
        *,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        positions: Int[Tensor, "*batch seq"] | None = None,
        segments: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq dim"]:
        """Embed tokens.

        Args:
            tokens: int64 or int32.
            attention_mask: 1 for real tokens, 0 for pads; pads get the row before ``first_row``, as in OPT.
                Ignored where ``first_row`` is 0, as BERT and GPT-2 ignore it, and with ``pad_by_token``.
            positions: explicit positions; 0, 1, 2, ... otherwise.
            segments: rows of the segment table; 0 otherwise.

        Raises:
            PastTheEnd: MP101, an input longer than the table.
        """
        rows = self._rows(tokens, attention_mask, positions)
        added = self._first_rows(tokens) if rows is None else self.positions.vectors(rows)
        if self.shape.pad_by_token and rows is not None:
            # RoBERTa's row of pads is never trained
            added = added.detach().where((rows < self.shape.first_row)[..., None], added)
        if self.segments is not None:
            # one segment for all joins the rows of one sequence, not those of the batch
            added = added + (self.segments.weight[0] if segments is None else self.segments(segments))
        if self._goes_by_sequence(tokens, added):
            embedded = self._embed_by_sequence(tokens, added)
        else:
            # in place: the lookup's backward does not need its output
            embedded = self._look_up(tokens).add_(added)
            embedded = embedded if self.norm is None else self.norm(embedded)
        return nn.functional.dropout(embedded, self.shape.dropout, self.training)

    def _goes_by_sequence(self, tokens: Tensor, added: Tensor) -> bool:
        return (
            not torch.is_grad_enabled()
            and not is_traced()
            and not torch.is_autocast_enabled(tokens.device.type)
            and tokens.device.type == "cpu"
            and tokens.ndim == 2
            and added.ndim == 2
            and added.numel() >= _WORTH_A_CALL
        )

    def _embed_by_sequence(self, tokens: Tensor, added: Tensor) -> Tensor:
        """All steps for one sequence while it is in the cache, into one buffer; nothing for a backward."""
        embedded = self.tokens.weight.new_empty(*tokens.shape, self.shape.dim)
        for sequence, into in zip(tokens, embedded, strict=True):
            torch.index_select(self.tokens.weight, 0, sequence, out=into)
            into.add_(added)
            if self.norm is not None:
                into.copy_(self.norm(into))
        return embedded

    def _look_up(self, tokens: Tensor) -> Tensor:
        if self.keep_gradient and torch.is_grad_enabled():
            return _KeptLookup.apply(tokens, self.tokens.weight, self.shape.pad)
        return self.tokens(tokens)

    def _rows(self, tokens: Tensor, attention_mask: Tensor | None, positions: Tensor | None) -> Tensor | None:
        """Rows of the tokens; ``None`` where they are ``first_row``, ``first_row + 1``, ... ."""
        first = self.shape.first_row
        if positions is not None:
            return positions + first
        if self.shape.pad_by_token:
            assert self.shape.pad is not None
            attention_mask = tokens.ne(self.shape.pad)
        if attention_mask is not None and first > 0:
            mask = attention_mask.to(torch.int64)
            # a pad has the row before the first, which is there for it
            return (build_positions(tokens.shape[1], attention_mask=mask) + 1) * mask + first - 1
        return None

    def _first_rows(self, tokens: Tensor) -> Tensor:
        first = self.shape.first_row
        if not is_exported() and tokens.shape[1] + first > self.shape.rows:
            usable = self.shape.rows - first
            raise PastTheEnd(
                f"position {tokens.shape[1] - 1} is past the end of the table",
                got=f"{usable} usable positions, largest position asked for {tokens.shape[1] - 1}",
                fix="shorten the input, or grow the table: milepost extend MODEL "
                f"--to {1 << (tokens.shape[1] - 1).bit_length()}",
            )
        return self.positions.vectors_from(first, tokens.shape[1], device=tokens.device)

    def extra_repr(self) -> str:
        """The shape, for printing the module."""
        return str(self.shape)


class _KeptLookup(torch.autograd.Function):
    """A lookup whose backward adds to the table's own ``grad`` and hands autograd nothing."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor, pad: int | None) -> Tensor:
        ctx.save_for_backward(tokens, weight)
        ctx.pad = pad
        return nn.functional.embedding(tokens, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        tokens, weight = ctx.saved_tensors
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        rows = gradient.reshape(-1, gradient.shape[-1])
        tokens = tokens.flatten().long()
        if ctx.pad is not None:
            rows = rows.masked_fill((tokens == ctx.pad)[:, None], 0.0)
        # an expanded index takes torch's sorted path on the CPU, whose order of summation is fixed
        weight.grad.scatter_add_(0, tokens[:, None].expand_as(rows), rows)
        return None, None, None
