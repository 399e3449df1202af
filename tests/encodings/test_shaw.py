import numpy as np
import pytest
import torch

from milepost.encodings import ShawKeys
from milepost.errors import OptionError


def oracle(query, table, at, keys, max_distance, scaling):
    """x_i W^Q . a_{clip(distance)}, scaled, for each head and pair."""
    distance = at[:, None] - keys[None, :]
    rows = table[np.clip(distance, -max_distance, max_distance) + max_distance]
    return scaling * np.einsum("bhqd,qkd->bhqk", query, rows)


@pytest.mark.parametrize("order", [(2, 5), (5, 2)])
def test_each_query_meets_the_vector_of_each_clipped_distance(order):
    rng = np.random.default_rng(0)
    at, keys = torch.tensor([0, 3, 100_000]), torch.arange(6)
    query = torch.from_numpy(rng.normal(size=(2, 3, 3, 4)))
    made = [ShawKeys(4, max_distance=distance, dtype=torch.float32) for distance in order]
    for encoding, distance in zip(made, order, strict=True):
        assert encoding.weight.shape == (2 * distance + 1, 4)
        torch.nn.init.normal_(encoding.weight)
        got = encoding.bias(query.float(), at, keys, scaling=0.3).detach()
        table = encoding.weight.detach().double().numpy()
        wanted = oracle(query.numpy(), table, at.numpy(), keys.numpy(), distance, 0.3)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_it_starts_as_no_encoding_and_learns_at_once():
    encoding, positions = ShawKeys(4, max_distance=2), torch.arange(6)
    bias = encoding.bias(torch.ones(1, 2, 6, 4), positions, positions, scaling=1.0)
    assert not bias.any()
    bias.sum().backward()
    assert encoding.weight.grad.any(-1).all()


def test_a_distance_below_one_is_refused():
    with pytest.raises(OptionError, match="max_distance=0"):
        ShawKeys(4, max_distance=0)
