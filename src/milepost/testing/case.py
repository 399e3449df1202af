"""The encoding under test, and what its checks share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from milepost.encodings import Encoding, Geometry
from milepost.spec import Spec


@dataclass(frozen=True)
class Case:
    """An encoding under test: how to build it, and for which model."""

    label: str
    spec: Spec | None
    make: Callable[[Geometry], Encoding]
    geometry: Geometry

    def fresh(self, *, seed: int = 0, geometry: Geometry | None = None) -> Encoding:
        """As built, in evaluation mode."""
        torch.manual_seed(seed)
        return self.make(geometry or self.geometry).eval()

    def stirred(self, *, seed: int = 0, geometry: Geometry | None = None) -> Encoding:
        """An encoding with random parameters: one that starts at zero would agree with anything."""
        encoding = self.fresh(seed=seed, geometry=geometry)
        with torch.no_grad():
            for parameter in encoding.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
        return encoding


def require(holds: bool | Tensor, message: str) -> None:
    """Fail the check unless this holds."""
    if not holds:
        raise AssertionError(message)


def require_near(left: Tensor, right: Tensor, message: str, *, tolerance: float = 1e-5) -> None:
    """Fail unless two tensors have one shape and lie close, beside the larger of 1 and their size."""
    require(left.shape == right.shape, f"{message}: shapes {tuple(left.shape)} and {tuple(right.shape)}")
    if left.numel():
        scale = max(1.0, right.abs().max().item())
        apart = (left.float() - right.float()).abs().max().item()
        require(math.isfinite(apart) and apart <= tolerance * scale, f"{message}: apart by {apart:.3g}")


def draw_heads(case: Case, batch: int, seq: int, *, heads: int | None = None, seed: int = 7) -> Tensor:
    """Queries or keys with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, heads or case.geometry.heads, seq, case.geometry.head_dim, generator=generator)


def read_answers(
    encoding: Encoding, query: Tensor, key: Tensor, query_positions: Tensor, key_positions: Tensor
) -> dict[str, Tensor]:
    """What each place in use answers, each part broadcast to a batch."""
    batch, heads, seq, _ = query.shape
    answers: dict[str, Tensor] = {}
    if "vectors" in encoding.places:
        vectors = encoding.vectors(query_positions)
        require(vectors is not None, "vectors answers nothing")
        assert vectors is not None
        answers["vectors"] = vectors.expand(batch, seq, vectors.shape[-1])
    if "rotate" in encoding.places:
        answers["query"], answers["key"] = encoding.rotate(query, key, query_positions, key_positions)
    if "bias" in encoding.places:
        bias = encoding.bias(query, query_positions, key_positions, scaling=0.5)
        require(bias is not None, "bias answers nothing")
        assert bias is not None
        answers["bias"] = bias.expand(batch, heads, seq, key.shape[-2])
    return answers


def read_simple_answers(case: Case, encoding: Encoding, seq: int = 8, start: int = 0) -> dict[str, Tensor]:
    """Answers for contiguous positions, the same for queries and keys."""
    positions = torch.arange(start, start + seq)
    return read_answers(
        encoding, draw_heads(case, 2, seq), draw_heads(case, 2, seq, seed=8), positions, positions.clone()
    )


def require_same(left: dict[str, Tensor], right: dict[str, Tensor], message: str) -> None:
    """Fail unless the same places answer the same."""
    require(left.keys() == right.keys(), f"{message}: other places answer")
    for name in left:
        require_near(left[name], right[name], f"{message} ({name})")
