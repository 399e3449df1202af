import math

import numpy as np
import pytest
import torch

from milepost.encodings import T5Bias
from milepost.errors import OptionError


def oracle_bucket(distance, buckets, max_distance, causal):
    """The bucket of one distance (query minus key), as the paper words it."""
    base = 0
    if causal:
        distance = max(distance, 0)
    else:
        buckets //= 2
        base = buckets if distance < 0 else 0
        distance = abs(distance)
    exact = buckets // 2
    if distance < exact:
        return base + distance
    share = math.log(distance / exact) / math.log(max_distance / exact)
    return base + min(buckets - 1, exact + math.floor(share * (buckets - exact) + 1e-9))


HYPERPARAMETERS = [(8, 20), (16, 20), (8, 64), (16, 64), (32, 128)]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("order", [HYPERPARAMETERS, HYPERPARAMETERS[::-1]])
def test_the_bias_is_the_tables_number_of_the_papers_bucket(causal, order):
    at, keys = torch.tensor([0, 50, 300, 100_000]), torch.arange(0, 301)
    made = [T5Bias(3, buckets=b, max_distance=d, causal=causal) for b, d in order]
    for encoding, (buckets, max_distance) in zip(made, order, strict=True):
        torch.manual_seed(buckets)
        torch.nn.init.normal_(encoding.weight)
        got = encoding.bias(torch.zeros(1, 3, 4, 2), at, keys, scaling=1.0).detach()
        index = [
            [oracle_bucket(q - k, buckets, max_distance, causal) for k in keys.tolist()] for q in at.tolist()
        ]
        wanted = encoding.weight.detach().numpy()[np.array(index)].transpose(2, 0, 1)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (20, 50)])
def test_buckets_are_those_of_transformers(causal, buckets, max_distance):
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    encoding = T5Bias(2, buckets=buckets, max_distance=max_distance, causal=causal)
    distance = torch.arange(-3000, 3000)
    theirs = t5.T5Attention._relative_position_bucket(-distance, not causal, buckets, max_distance)
    assert torch.equal(encoding._buckets_of(distance), theirs)


def test_it_starts_as_no_encoding_and_learns_at_once():
    encoding, positions = T5Bias(2), torch.arange(6)
    bias = encoding.bias(torch.zeros(1, 2, 6, 4), positions, positions, scaling=1.0)
    assert not bias.any()
    bias.sum().backward()
    assert encoding.weight.grad[:6].any(-1).all()


def test_training_after_a_first_call_changes_the_next():
    encoding, positions = T5Bias(2), torch.arange(4)
    for wanted in (0.0, 1.0, 2.0):
        bias = encoding.bias(torch.zeros(1, 2, 4, 4), positions, positions, scaling=1.0)
        assert (bias == wanted).all()
        bias.sum().backward()  # a graph kept from the step before would fail here
        with torch.no_grad():
            encoding.weight += 1.0


@pytest.mark.parametrize(
    "options", [{"buckets": 7}, {"buckets": 2, "causal": False}, {"max_distance": 16}, {"buckets": 0}]
)
def test_buckets_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match="MP105"):
        T5Bias(2, **options)
