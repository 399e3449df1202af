"""What a model does with an encoding: pads and caches change nothing, on both sides of its thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import BertConfig, BertModel, DynamicCache, GPT2Config, GPT2Model, PreTrainedModel

from milepost.encodings import Encoding
from milepost.errors import OptionError, PastTheEnd, SwapRefused
from milepost.models import geometry, swap
from milepost.models.transformers_private import cache_argument, parameter_names
from milepost.testing.case import Case, require, require_near

_ROWS, _TOKENS = 1024, 64
_FAR = 520  # tokens: past the 512 positions of many models
_LARGEST = 1100  # tokens: attention to more of them takes too long for a check
_TOLERANCE = 1e-4


def check_padding(case: Case) -> str | None:
    """In a model, a padded sequence is answered as it is alone, from a cache too."""
    if case.fresh().needs_grid or not _builds_for_text(case):
        return "the encoding is for images, which have no pads"
    model = _build_model(case)
    encoding = cast(Encoding, model.milepost)
    if not encoding.places:
        return "acts nowhere"
    with torch.no_grad():
        for length, pads in _spans(encoding):
            tokens = torch.arange(length)[None] * 7 % (_TOKENS - 1) + 1
            alone = _run(model, tokens, torch.ones_like(tokens))
            _check_batch(model, tokens, alone, pads)
            if case.geometry.causal:
                _check_cache(model, tokens, alone, pads)
    return None


def _builds_for_text(case: Case) -> bool:
    """Some encodings need the grid of an image for certain options alone."""
    try:
        case.fresh(geometry=replace(case.geometry, grid=None, prefix=0))
    except OptionError:
        return False
    return True


def _build_model(case: Case) -> PreTrainedModel:
    """A model of one layer with random weights and the encoding in it."""
    heads, dim = case.geometry.heads, case.geometry.heads * case.geometry.head_dim
    torch.manual_seed(0)
    model: PreTrainedModel
    if case.geometry.causal:
        model = GPT2Model(
            GPT2Config(
                n_layer=1, n_head=heads, n_embd=dim, n_positions=_ROWS, vocab_size=_TOKENS,
                initializer_range=0.3, bos_token_id=None, eos_token_id=None,
            )
        )  # fmt: skip
    else:
        model = BertModel(
            BertConfig(
                num_hidden_layers=1, num_attention_heads=heads, hidden_size=dim, intermediate_size=dim,
                max_position_embeddings=_ROWS, vocab_size=_TOKENS, initializer_range=0.3,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
    return swap(model, case.stirred(geometry=geometry(model))).eval()


def _spans(encoding: Encoding) -> Iterator[tuple[int, int]]:
    """Tokens and pads of the sequences to try: short ones, and on both sides of each threshold."""
    yield 9, 5
    spans = [(_FAR, 40)] if not encoding.relative else []
    for threshold in encoding.thresholds:
        spans += [(threshold - 4, 8), (threshold + 8, 40)]
    for length, pads in spans:
        if 8 <= length <= _LARGEST and _fits(encoding, length + pads):
            yield length, pads


def _fits(encoding: Encoding, length: int) -> bool:
    try:
        encoding.remap(range(length), batch=1)
    except PastTheEnd:
        return False
    return encoding.usable_length is None or length <= encoding.usable_length


def _check_batch(model: PreTrainedModel, tokens: Tensor, alone: Tensor, pads: int) -> None:
    """Left pads, right pads and a longer sequence in one batch."""
    length = tokens.shape[1]
    sides = ((pads, 0), (0, pads))
    rows = [torch.nn.functional.pad(tokens, side) for side in sides]
    masks = [torch.nn.functional.pad(torch.ones_like(tokens), side) for side in sides]
    longer = torch.ones(1, length + pads, dtype=torch.int64)
    answers = _run(model, torch.cat([*rows, longer]), torch.cat([*masks, longer]))
    for name, row, start in (("left", 0, pads), ("right", 1, 0)):
        found = answers[row : row + 1, start : start + length]
        message = f"{pads} {name} pads change the answers to {length} tokens"
        require_near(found, alone, message, tolerance=_TOLERANCE)


def _check_cache(model: PreTrainedModel, tokens: Tensor, alone: Tensor, pads: int) -> None:
    """A first chunk behind left pads and single tokens, through one cache."""
    ids = torch.nn.functional.pad(tokens, (pads, 0))
    mask = torch.nn.functional.pad(torch.ones_like(tokens), (pads, 0))
    encoding = cast(Encoding, model.milepost)
    needs_whole = encoding.needs_whole
    cache, end, parts = DynamicCache(config=model.config), ids.shape[1], []
    for start, stop in ((0, end - 3), *((at, at + 1) for at in range(end - 3, end))):
        try:
            parts.append(_run(model, ids[:, start:stop], mask[:, :stop], cache))
        except SwapRefused:
            require(needs_whole, "a cache is refused")
            return
    require(not needs_whole, "a cache is continued, though positions depend on the length")
    # where answers depend on the length, those of earlier steps were to shorter inputs
    first = tokens.shape[1] - 1 if encoding.sees_length else 0
    found, alone = torch.cat(parts, 1)[:, pads + first :], alone[:, first:]
    message = f"a cache changes the answers to {tokens.shape[1]} tokens behind {pads} pads"
    require_near(found, alone, message, tolerance=_TOLERANCE)


def _run(model: PreTrainedModel, ids: Tensor, mask: Tensor, cache: DynamicCache | None = None) -> Tensor:
    more: dict[str, Any] = {}
    if cache is not None:
        name = cache_argument(parameter_names(model))
        assert name is not None
        more = {name: cache, "use_cache": True}
    answer: Tensor = model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
    return answer
