"""An encoding of one's own: a bias that falls with the square root of the distance."""

import torch
from torch import nn

from milepost.catalog import EncodingRow
from milepost.encodings import Encoding, register
from milepost.options import number


@register(EncodingRow("root-bias", {"start": number(0.1, above=0)}, places=("bias",)))
class RootBias(Encoding):
    """Scores fall with the square root of the distance, one learned slope per head."""

    def __init__(self, heads, start):
        super().__init__()
        self.slopes = nn.Parameter(torch.full((heads,), start))

    @classmethod
    def from_spec(cls, options, geometry):
        return cls(geometry.heads, options.number("start"))

    def bias(self, query, query_positions, key_positions, *, scaling):
        distance = (query_positions[..., :, None] - key_positions[..., None, :]).abs()
        return -self.slopes[:, None, None] * distance.float().sqrt()[..., None, :, :]
