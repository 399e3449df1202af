"""The encoding ``window``: scores lose a fixed amount beyond a distance."""

import torch

from milepost.catalog import EncodingRow
from milepost.encodings import Encoding, register
from milepost.options import whole


@register(EncodingRow("window", {"size": whole(4, least=0)}, places=("bias",)))
class Window(Encoding):
    """Subtracts 4 from the scores of keys that are further than ``size`` positions away; no parameters."""

    relative = True

    def __init__(self, size):
        super().__init__()
        self.size = size

    @classmethod
    def from_spec(cls, options, geometry):
        """Build it for any model."""
        return cls(options.whole("size"))

    def bias(self, query, query_positions, key_positions, *, scaling):
        """Scores to add, the same for all heads."""
        distance = (query_positions[..., :, None] - key_positions[..., None, :]).abs()
        return torch.where(distance > self.size, -4.0, 0.0)[..., None, :, :]
