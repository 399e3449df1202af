"""No encoding: what a model knows of order then comes from its causal mask alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, final

from milepost.encodings.base import Encoding, Geometry, register
from milepost.spec import Value


@final
@register("none")
class NoPositions(Encoding):
    """Acts nowhere. A causal model still learns some order, a bidirectional one cannot.

    Source: Haviv et al. 2022, "Transformer Language Models without Positional Encodings Still Learn
    Positional Information"; Kazemnejad et al. 2023 (NoPE).

    >>> sorted(NoPositions().places)
    []
    """

    relative = True

    @classmethod
    def from_spec(cls, options: Mapping[str, Value], geometry: Geometry) -> Self:
        """Nothing to build."""
        return cls()
