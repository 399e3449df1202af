import numpy as np
import pytest
import torch

from milepost.encodings import FireBias
from milepost.errors import OptionError


def oracle(encoding, at, keys, threshold):
    """f(psi(i - j) / psi(max(L, i))), psi(x) = log(c x + 1), in float64; keys at or before the query."""
    state = {name: value.double().numpy() for name, value in encoding.state_dict().items()}
    c, length = state["c"], threshold * state["length"]
    distance = at[:, None] - keys[None, :]
    share = np.log(c * distance + 1) / np.log(c * np.maximum(length, at)[:, None] + 1)
    inner = np.maximum(share[..., None] * state["hidden.weight"][:, 0] + state["hidden.bias"], 0)
    return (inner @ state["out.weight"].T + state["out.bias"]).transpose(2, 0, 1)


@pytest.mark.parametrize("order", [((8, 10.0), (5, 300.0)), ((5, 300.0), (8, 10.0)), ((8, 300.0), (5, 10.0))])
@pytest.mark.parametrize("c", [0.1, 2.0])
def test_it_is_the_papers_at_two_widths_and_thresholds(order, c):
    at, keys = np.array([20, 50, 100_000]), np.arange(20)
    torch.manual_seed(0)
    made = [FireBias(3, width=width, threshold=threshold) for width, threshold in order]
    for encoding, (_, threshold) in zip(made, order, strict=True):
        with torch.no_grad():
            encoding.c.fill_(c)
            encoding.length.fill_(1.5)
        positions = torch.from_numpy(at), torch.from_numpy(keys)
        got = encoding.bias(torch.zeros(1, 3, 3, 4), *positions, scaling=1.0).detach()
        np.testing.assert_allclose(got, oracle(encoding, at, keys, threshold), atol=1e-5)


def test_both_directions_have_the_same_answer():
    encoding, positions = FireBias(2), torch.arange(9)
    bias = encoding.bias(torch.zeros(1, 2, 9, 4), positions, positions, scaling=1.0)
    torch.testing.assert_close(bias, bias.mT)


@pytest.mark.parametrize("options", [{"width": 0}, {"threshold": 0.0}])
def test_sizes_below_one_are_refused(options):
    with pytest.raises(OptionError, match="MP105"):
        FireBias(2, **options)
