"""An encoding of one's own: a bias that falls with the square root of the distance."""

from typing import ClassVar

import torch
from torch import nn

from milepost.encodings import Encoding, register


@register("root-bias")
class RootBias(Encoding):
    """Scores fall with the square root of the distance, one learned slope per head."""

    defaults: ClassVar = {"start": 0.1}

    def __init__(self, heads, start):
        super().__init__()
        self.slopes = nn.Parameter(torch.full((heads,), float(start)))

    @classmethod
    def from_spec(cls, options, geometry):
        return cls(geometry.heads, options["start"])

    def bias(self, query, query_positions, key_positions, *, scaling):
        distance = (query_positions[..., :, None] - key_positions[..., None, :]).abs()
        return -self.slopes[:, None, None] * distance.float().sqrt()[..., None, :, :]
