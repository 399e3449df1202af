import numpy as np
import pytest
import torch

from milepost.encodings import SandwichBias
from milepost.errors import OptionError


def oracle(at, keys, heads, width):
    """Inner products of the two sinusoids, then the ratio of each head."""
    frequencies = 10000.0 ** (-2 * np.arange(width // 2) / width)

    def sinusoid(positions):
        angles = positions[:, None] * frequencies
        return np.concatenate([np.sin(angles), np.cos(angles)], -1)

    ratios = np.arange(1, heads + 1) * 8 / heads
    return (sinusoid(at) @ sinusoid(keys).T)[None] / ratios[:, None, None]


@pytest.mark.parametrize("order", [((3, 16), (8, 64)), ((8, 64), (3, 16))])
def test_it_is_the_product_of_two_sinusoids(order):
    at, keys = np.array([0, 7, 100_000]), np.array([0, 3, 7, 99_000])
    made = [SandwichBias(heads, width=width) for heads, width in order]
    for encoding, (heads, width) in zip(made, order, strict=True):
        query = torch.zeros(1, heads, 3, 4)
        got = encoding.bias(query, torch.from_numpy(at), torch.from_numpy(keys), scaling=1.0)
        np.testing.assert_allclose(got, oracle(at, keys, heads, width), atol=1e-5)


@pytest.mark.parametrize("width", [0, 7])
def test_an_odd_width_is_refused(width):
    with pytest.raises(OptionError, match=f"width={width}"):
        SandwichBias(4, width=width)
