"""The learned position table: one trained row a position."""

from __future__ import annotations

from typing import final

from milepost.catalog import Geometry, find_row
from milepost.encodings.base import Encoding, register
from milepost.encodings.low_rank import LowRankPositions
from milepost.encodings.row_table import RowTable
from milepost.options import SpecOptions


@final
@register(find_row("learned"))
class LearnedPositions(RowTable):
    """A trainable table ``weight`` of shape ``(max_len, dim)``, added to the token embeddings.

    Contiguous positions are a slice of the table, so their gradient is a sum over the batch; explicit
    ones are gathered. Both gradients are deterministic. See ``StoredPositions`` for what happens past
    the end and when it is checked.

    Args:
        max_len: rows, and so usable positions.
        dim: width of the token embeddings.
        init: ``normal`` (mean 0), ``zeros``, or ``sinusoidal`` (a sinusoid of rms ``std``).
        std: scale of the initial values.
        past: ``error``, ``clamp`` (the last row again), ``tile`` (from row 0 again) or ``group`` (see
            ``StoredPositions.group``); ``linear`` or ``bicubic`` for images (see ``StoredPositions.at_grid``).
        count: keep in the buffer ``trained_counts`` how often each row was used in training.
        device: where the table lives.
        dtype: of the table; positions stay int64 whatever it is.

    Raises:
        OptionError: MP105, a size below 1 or an unknown word.

    Source: Gehring et al. 2017, section 3.1; Devlin et al. 2019. Differs: overflow rules.

    >>> import torch
    >>> table = LearnedPositions(512, 768)
    >>> sum(parameter.numel() for parameter in table.parameters())
    393216
    >>> table(torch.zeros(2, 10, 768)).shape
    torch.Size([2, 10, 768])
    """

    @classmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Encoding:
        """Build for a model, as ``RowTable.from_spec``; with ``rank`` above 0 this is a ``LowRankPositions``."""
        if not options.whole("rank"):
            return super().from_spec(options, geometry)
        return LowRankPositions.from_spec(options, geometry)
