"""What positions mean: prefixes, neighbours in a batch, distances, limits, exactness."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from milepost.encodings import Encoding
from milepost.errors import PastTheEnd
from milepost.testing.case import (
    Case,
    draw_heads,
    read_answers,
    read_simple_answers,
    require,
    require_near,
    require_same,
)


def check_prefix(case: Case) -> str | None:
    """A longer input changes nothing at the positions before."""
    encoding = case.stirred()
    long, short = (
        {name: part[..., :5, :] for name, part in read_simple_answers(case, encoding, 9).items()},
        read_answers(
            encoding,
            draw_heads(case, 2, 9)[:, :, :5],
            draw_heads(case, 2, 9, seed=8)[:, :, :5],
            torch.arange(5),
            torch.arange(5),
        ),
    )
    if "bias" in long:
        long["bias"] = long["bias"][..., :5]
    require_same(short, long, "a longer input changes the positions before")
    return None


def check_batch(case: Case) -> str | None:
    """A sequence is answered the same whatever its neighbours in the batch."""
    encoding = case.stirred()
    query, key = draw_heads(case, 2, 6), draw_heads(case, 2, 6, seed=8)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 2, 9]])
    together = read_answers(encoding, query, key, positions, positions)
    for row in range(2):
        part = slice(row, row + 1)
        alone = read_answers(encoding, query[part], key[part], positions[part], positions[part])
        require_same(
            alone, {name: answer[part] for name, answer in together.items()}, "a neighbour in the batch tells"
        )
    return None


def check_shift(case: Case) -> str | None:
    """Scores of an encoding that says ``relative`` depend on distances alone."""
    encoding = case.stirred()
    if not encoding.relative:
        return "the encoding does not promise to depend on distances alone"
    query, key = draw_heads(case, 2, 8), draw_heads(case, 2, 8, seed=8)
    require("vectors" not in encoding.places, "a relative encoding adds no vectors")
    require_near(
        _scores(encoding, query, key, torch.arange(5, 13)),
        _scores(encoding, query, key, torch.arange(8)),
        "shifting all positions changes the scores",
        tolerance=1e-4,
    )
    return None


def _scores(encoding: Encoding, query: Tensor, key: Tensor, positions: Tensor) -> Tensor:
    turned, against = encoding.rotate(query, key, positions, positions)
    bias = encoding.bias(query, positions, positions, scaling=0.5)
    scores = turned @ against.mT * 0.5 + (0.0 if bias is None else bias)
    return scores.tril()  # what a causal model sees; all that every encoding promises


def check_half(case: Case) -> str | None:
    """Positions stay exact in bfloat16, up to 4096."""
    far = 4097
    larger = replace(case.geometry, max_len=far)
    if larger.grid is not None:
        larger = replace(larger, grid=(far - 1, 1), prefix=1)
    encoding = case.stirred(geometry=larger)
    if encoding.usable_length is not None and encoding.usable_length < far:
        return f"the spec fixes a length below {far}"
    rounded = copy.deepcopy(encoding).bfloat16()
    exact = copy.deepcopy(rounded).float()
    positions = torch.tensor([0, 1, 254, 255, 256, 257, 258, 1023, 1025, 2049, 4095, 4096])
    query = draw_heads(case, 1, len(positions)).bfloat16().float()
    wanted = read_answers(exact, query, query, positions, positions)
    half = query.bfloat16()
    for name, answer in read_answers(rounded, half, half, positions, positions).items():
        right = wanted[name]
        # a share of each number, not of the largest: distance 1 counts beside distance 4096
        allowed = 0.02 * (right.abs() + right.abs().max().clamp(max=1.0))
        require(
            bool(((answer.float() - right).abs() <= allowed).all()),
            f"positions up to 4096 are not exact in bfloat16 ({name})",
        )
    return None


def check_limit(case: Case) -> str | None:
    """There are answers up to ``usable_length``, and ``PastTheEnd`` after it and before 0."""
    encoding, limit = case.stirred(), case.fresh().usable_length
    if limit is None:
        if case.geometry.grid is not None:
            height, width = case.geometry.grid
            encoding = encoding.at_grid((3 * height, 3 * width))
        for answer in read_simple_answers(case, encoding, start=3 * case.geometry.max_len).values():
            require(bool(answer.isfinite().all()), "no finite answer past max_len, though no limit is named")
        return None if encoding.places else "acts nowhere"
    require(limit >= 1, f"usable_length is {limit}")
    for answer in read_simple_answers(case, encoding, 4, start=limit - 4).values():
        require(bool(answer.isfinite().all()), "no finite answer at the last usable position")
    spans: list[range | Tensor] = [torch.arange(limit, limit + 1), torch.tensor([-1])]
    for span in [*spans, range(limit - 1, limit + 1)] if "vectors" in encoding.places else spans:
        require(_refuses(case, encoding, span), f"no PastTheEnd at {span}, past a usable length of {limit}")
    return None


def _refuses(case: Case, encoding: Encoding, span: range | Tensor) -> bool:
    try:
        if isinstance(span, range):
            encoding.vectors(span)
        else:
            query = draw_heads(case, 1, len(span))
            read_answers(encoding, query, query, span, span)
    except PastTheEnd:
        return True
    return False
