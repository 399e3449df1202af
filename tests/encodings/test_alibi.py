import math

import numpy as np
import pytest
import torch

from milepost.encodings import AlibiPositions
from milepost.encodings.alibi import build_slopes
from milepost.errors import OptionError


def paper_slopes(heads):
    """The slopes as the paper gives them, and its authors' rule for other numbers of heads."""
    if math.log2(heads).is_integer():
        return [2 ** (-8 * (head + 1) / heads) for head in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return paper_slopes(lower) + paper_slopes(2 * lower)[0::2][: heads - lower]


@pytest.mark.parametrize("heads", [1, 2, 3, 8, 12, 16, 20])
def test_slopes_are_the_papers(heads):
    assert build_slopes(heads) == pytest.approx(paper_slopes(heads), rel=1e-12)


@pytest.mark.parametrize("order", [(8, 6), (6, 8)])
def test_bias_is_minus_slope_times_distance_both_ways(order):
    at, keys = torch.tensor([[3, 4], [100_000, 9]]), torch.tensor([0, 4, 9])
    made = [AlibiPositions(heads) for heads in order]
    for encoding, heads in zip(made, order, strict=True):
        got = encoding.bias(torch.zeros(2, heads, 2, 4), at, keys, scaling=1.0)
        distance = np.abs(at.numpy()[:, None, :, None] - keys.numpy())
        wanted = -np.array(paper_slopes(heads))[:, None, None] * distance
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_shared_positions_make_one_bias_for_all_sequences_and_layers():
    encoding, positions = AlibiPositions(4), torch.arange(5)
    first = encoding.bias(torch.zeros(3, 4, 5, 2), positions, positions, scaling=1.0)
    assert first.shape == (4, 5, 5)
    assert encoding.bias(torch.ones(3, 4, 5, 2), positions, positions, scaling=1.0) is first


def test_no_heads_are_refused():
    with pytest.raises(OptionError, match="heads=0"):
        AlibiPositions(0)
