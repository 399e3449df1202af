"""One place that derives positions; encodings and models never guess them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from milepost.encodings.tracing import is_traced
from milepost.errors import OptionError


def build_positions(
    length: int,
    *,
    past_length: int | Int64[Tensor, ""] = 0,
    attention_mask: Int[Tensor, "batch total"] | Bool[Tensor, "batch total"] | None = None,
    document_starts: Bool[Tensor, "batch seq"] | None = None,
    first_row: int = 0,
    device: torch.device | str | None = None,
) -> Int64[Tensor, "batch seq"]:
    """Derive the position of each of ``length`` new tokens, or its row when ``first_row`` is given.

    Always int64, whatever the model's dtype: bfloat16 cannot tell position 256 from 257.

    Args:
        length: new tokens in this call.
        past_length: tokens already in the cache, pads included.
        attention_mask: 1 for real tokens, of ``past_length + length`` columns. Real tokens are counted
            from 0 in each row, so left pads shift nothing; a pad gets the position of the real token
            before it, 0 where there is none.
        document_starts: true where a packed document begins; positions restart there.
        first_row: row of position 0 in the family's table (RoBERTa: pad + 1, OPT: 2); added to all.
        device: where to build; the device of the mask or of ``document_starts`` by default.

    Returns:
        int64, shape ``(batch, length)``; batch is 1 where nothing depends on the sequence.

    Raises:
        OptionError: MP105, when shapes disagree or a mask and document starts are both given.

    >>> mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    >>> build_positions(4, attention_mask=mask).tolist()
    [[0, 0, 0, 1], [0, 1, 2, 2]]
    >>> build_positions(1, past_length=3, attention_mask=mask).tolist()
    [[1], [2]]
    >>> starts = torch.tensor([[True, False, False, True, False]])
    >>> build_positions(5, document_starts=starts, first_row=2).tolist()
    [[2, 3, 4, 2, 3]]
    """
    if attention_mask is not None and document_starts is not None:
        raise OptionError(
            "positions come from a mask or from document starts, not both",
            got="attention_mask and document_starts",
            fix="leave pads out of packed sequences",
        )
    if attention_mask is not None:
        if attention_mask.ndim != 2 or attention_mask.shape[1] < length:
            raise OptionError(
                "the attention mask does not cover the new tokens",
                got=f"mask of shape {tuple(attention_mask.shape)}, {length} new tokens",
                fix="pass the two-dimensional mask over past and new tokens",
            )
        # counted over the whole mask, so that a cached step continues its own sequence
        counted = attention_mask.to(device=device, dtype=torch.int64).cumsum(-1) - 1
        return counted.clamp_(min=0)[:, -length:] + first_row
    if document_starts is not None:
        if document_starts.ndim != 2 or document_starts.shape[1] != length:
            raise OptionError(
                "document starts must be given for each new token",
                got=f"shape {tuple(document_starts.shape)}, {length} new tokens",
                fix="pass one boolean per new token",
            )
        slots = torch.arange(length, device=document_starts.device, dtype=torch.int64).expand_as(
            document_starts
        )
        begun = torch.where(document_starts, slots, slots.new_zeros(())).cummax(-1).values
        # a document that began before this call goes on where the cache ends
        continued = document_starts.to(torch.int64).cumsum(-1) == 0
        return torch.where(continued, slots + past_length, slots - begun) + first_row
    return (torch.arange(length, device=device, dtype=torch.int64) + past_length)[None] + first_row


def count_from(
    start: int, length: int, *, device: torch.device | str | None = None
) -> range | Int64[Tensor, " seq"]:
    """Positions ``start``, ``start + 1``, ...: a ``range``, or int64 while a graph is traced.

    A ``range`` holds plain integers, so a graph would fix its length.

    >>> count_from(2, 3)
    range(2, 5)
    """
    if is_traced() or isinstance(length, torch.SymInt):
        return torch.arange(length, device=device) + start
    return range(start, start + length)


def build_shard_positions(
    length: int,
    *,
    rank: int,
    world: int,
    order: str = "plain",
    device: torch.device | str | None = None,
) -> Int64[Tensor, "1 share"]:
    """Positions of one rank's share of a sequence that context parallelism splits.

    ``plain`` gives each rank one contiguous part. ``zigzag`` cuts twice as many chunks as ranks and gives
    rank r the chunks r and ``2 * world - 1 - r``, so that under a causal mask all ranks have equal work.
    The numbers are also the slots of the whole sequence that the rank holds: ``tokens[:, slots[0]]`` are
    its tokens, and for pads or packed documents ``build_positions(...)[:, slots[0]]`` its positions.

    Args:
        length: of the whole sequence.
        rank: whose share; 0 to ``world - 1``.
        world: ranks that share the sequence.
        order: ``plain`` or ``zigzag``.
        device: where to build.

    Returns:
        int64, shape ``(1, length // world)``.

    Raises:
        OptionError: MP105, an unknown order, a rank out of range, or a length that does not split evenly.

    Source: Llama team 2024 (The Llama 3 herd of models), section 3.3.2, for the zig-zag order.

    >>> [build_shard_positions(8, rank=r, world=2, order="zigzag").tolist() for r in (0, 1)]
    [[[0, 1, 6, 7]], [[2, 3, 4, 5]]]
    """
    if order not in ("plain", "zigzag"):
        raise OptionError("order must be one of its words", got=f"order={order}", fix="one of plain, zigzag")
    chunks = world if order == "plain" else 2 * world
    if not 0 <= rank < world or length % chunks:
        raise OptionError(
            "a sequence is split evenly over ranks 0 to world - 1, a zig-zag in two chunks each",
            got=f"length={length}, rank={rank}, world={world}, order={order}",
            fix=f"pad the sequence to a multiple of {max(chunks, 1)}",
        )
    parts = torch.arange(length, dtype=torch.int64, device=device).reshape(chunks, length // chunks)
    mine = parts[rank] if order == "plain" else torch.cat((parts[rank], parts[-1 - rank]))
    return mine[None]


def require_whole(positions: Tensor) -> None:
    """Refuse positions that are not integers: bfloat16 and float16 cannot hold them.

    Raises:
        OptionError: MP105, when the tensor is not of an integer dtype.
    """
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise OptionError(
            "positions must be whole numbers", got=str(positions.dtype), fix="pass an int64 tensor"
        )


def require_contiguous(positions: range) -> None:
    """Refuse a range with gaps: what is known to the host is contiguous, the rest is a tensor.

    Raises:
        OptionError: MP105, when the step is not 1, or positions begin below 0.
    """
    if positions.step != 1 or (len(positions) and positions.start < 0):
        raise OptionError(
            "a range of positions must be contiguous, from 0 on",
            got=str(positions),
            fix="pass range(start, stop), or a tensor",
        )


def build_distances(
    query_positions: Int64[Tensor, "*batch query"], key_positions: Int64[Tensor, "*batch key"]
) -> Int64[Tensor, "*batch query key"]:
    """Query position minus key position of each pair: how far back the key lies.

    >>> build_distances(torch.tensor([5]), torch.tensor([3, 5])).tolist()
    [[2, 0]]
    """
    require_whole(query_positions)
    require_whole(key_positions)
    return query_positions[..., :, None] - key_positions[..., None, :]
