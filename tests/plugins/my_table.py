"""A learned table with noise, shown in ``docs/plugins.md`` and tested in ``tests/encodings/test_row_table.py``."""

from functools import partial

import torch

from milepost.catalog import table_row
from milepost.encodings import RowTable, build_table, register
from milepost.options import number


@register(table_row("noisy", noise=number(0.1, least=0)))
class NoisyPositions(RowTable):
    """Learned rows, with Gaussian noise on those that training reads."""

    def __init__(self, max_len, dim, *, noise=0.1, **table):
        super().__init__(max_len, dim, **table)
        self.noise = noise

    @classmethod
    def from_spec(cls, options, geometry):
        return build_table(partial(cls, noise=options.number("noise")), options, geometry)

    def change(self, vectors):
        return vectors + self.noise * torch.randn_like(vectors) if self.training else vectors
