"""No encoding: what a model knows of order then comes from its causal mask alone."""

from __future__ import annotations

from typing import Self, final

from milepost.catalog import Geometry, find_row
from milepost.encodings.base import Encoding, register
from milepost.options import SpecOptions


@final
@register(find_row("none"))
class NoPositions(Encoding):
    """Acts nowhere. A causal model still learns some order, a bidirectional one cannot.

    Source: Haviv et al. 2022, "Transformer Language Models without Positional Encodings Still Learn
    Positional Information"; Kazemnejad et al. 2023 (NoPE).

    >>> sorted(NoPositions().places)
    []
    """

    relative = True

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Self:
        """Nothing to build."""
        return cls()
