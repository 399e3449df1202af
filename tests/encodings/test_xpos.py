import numpy as np
import pytest
import torch

from milepost.encodings import XPos
from milepost.errors import OptionError


def scores(query, key, at, keys, theta, base, gamma):
    """Sum over pairs of q k* zeta^((n - m) / base) e^(i (n - m) w), as complex numbers in float64."""
    half = query.shape[-1] // 2
    zeta = (np.arange(half) / half + gamma) / (1 + gamma)
    apart = (at[:, None] - keys[None, :])[..., None]
    factor = zeta ** (apart / base) * np.exp(1j * apart * theta ** (-np.arange(half) / half))
    left, right = (x[..., :half] + 1j * x[..., half:] for x in (query, key))
    return np.einsum("qd,kd,qkd->qk", left, right.conj(), factor).real


@pytest.mark.parametrize(
    "order",
    [[(50.0, 100.0, 0.2), (5e5, 1000.0, 2.0)], [(5e5, 1000.0, 2.0), (50.0, 100.0, 0.2)]],
)
def test_scores_are_the_papers_at_two_values_of_each_option(order):
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(4, 8)), rng.normal(size=(5, 8))
    at, keys = np.array([4, 60, 300, 301]), np.array([0, 1, 4, 60, 300])
    made = [XPos(8, theta=theta, scale_base=base, gamma=gamma) for theta, base, gamma in order]
    for encoding, options in zip(made, order, strict=True):
        heads = (torch.from_numpy(each).float()[None, None] for each in (query, key))
        turned, against = encoding.rotate(*heads, torch.from_numpy(at), torch.from_numpy(keys))
        got = (turned @ against.mT)[0, 0].numpy()
        wanted = scores(query, key, at, keys, *options)
        visible = at[:, None] >= keys[None, :]
        np.testing.assert_allclose(got[visible], wanted[visible], atol=2e-4)


def test_far_positions_stay_finite():
    query, at = torch.ones(1, 1, 2, 8), torch.tensor([0, 10**6])
    for heads in XPos(8).rotate(query, query, at, at):
        assert heads.isfinite().all()


@pytest.mark.parametrize("options", [{"causal": False}, {"gamma": 0.0}, {"scale_base": 0.0}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(OptionError, match="MP105"):
        XPos(8, **options)
