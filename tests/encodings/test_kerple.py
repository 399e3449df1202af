import numpy as np
import pytest
import torch

from milepost.encodings import KerpleBias
from milepost.errors import OptionError

AT, KEYS = torch.tensor([0, 3, 100_000]), torch.arange(6)
DISTANCE = np.abs(AT.numpy()[:, None] - KEYS.numpy()[None, :]).astype(float)


def kernel(variant, r1, r2):
    """The paper's kernels, minus sign included."""
    if variant == "log":
        return -r1 * np.log(1 + r2 * DISTANCE)
    return -r1 * DISTANCE**r2


@pytest.mark.parametrize("order", [("log", "power"), ("power", "log")])
@pytest.mark.parametrize(("r1", "r2"), [(0.3, 0.9), (2.0, 0.1)])
def test_curves_are_the_papers(order, r1, r2):
    made = [KerpleBias(2, variant=variant) for variant in order]
    for encoding, variant in zip(made, order, strict=True):
        with torch.no_grad():
            encoding.raw_r1.fill_(np.log(r1))
            encoding.raw_r2.fill_(np.log(r2) if variant == "log" else np.log(r2 / (2 - r2)))
        got = encoding.bias(torch.zeros(1, 2, 3, 4), AT, KEYS, scaling=1.0).detach()
        for head in range(2):
            np.testing.assert_allclose(got[head], kernel(variant, r1, r2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["log", "power"])
def test_initial_parameters_lie_in_their_ranges_and_gradients_are_finite(variant):
    torch.manual_seed(0)
    encoding = KerpleBias(500, variant=variant)
    assert 0 < encoding.raw_r1.exp().min() < 0.1
    assert encoding.raw_r1.exp().max().item() == pytest.approx(2.0 if variant == "log" else 1.0, abs=0.05)
    second = encoding.raw_r2.exp() if variant == "log" else 2 * encoding.raw_r2.sigmoid()
    assert second.max().item() == pytest.approx(1.0 if variant == "log" else 2.0, abs=0.05)
    encoding.bias(torch.zeros(1, 500, 3, 4), AT, KEYS, scaling=1.0).sum().backward()
    for parameter in encoding.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.all()


def test_an_unknown_variant_is_refused():
    with pytest.raises(OptionError, match="log, power"):
        KerpleBias(2, variant="linear")
