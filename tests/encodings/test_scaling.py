import math

import numpy as np
import pytest
import torch

from milepost.encodings import Geometry, build, canonical
from milepost.errors import OptionError, SpecError, UnknownName


def frequencies(spec, head_dim=16, max_len=32):
    encoding = build(spec, Geometry(dim=64, heads=4, head_dim=head_dim, max_len=max_len))
    return np.array(encoding.frequencies), encoding.temperature


def yarn(width, theta, factor, original, fast, slow):
    """Peng et al. 2023: turns over the original length decide, bounds rounded to whole pairs."""
    pairs = np.arange(width // 2)
    plain = theta ** (-2 * pairs / width)

    def pair_of(turns):
        return width * math.log(original / (2 * math.pi * turns)) / (2 * math.log(theta))

    low, high = max(math.floor(pair_of(fast)), 0), min(math.ceil(pair_of(slow)), width - 1)
    ramp = np.clip((pairs - low) / (high - low), 0, 1)
    return plain * (1 - ramp) + plain / factor * ramp


@pytest.mark.parametrize("thetas", [(100, 500000), (500000, 100)])
@pytest.mark.parametrize("factor", [3, 8])
def test_linear_and_ntk_are_the_published_ones(thetas, factor):
    for theta in thetas:
        plain = theta ** (-np.arange(8) / 8.0)
        got, temperature = frequencies(f"rotary(theta={theta},scaling=linear(factor={factor}))")
        np.testing.assert_allclose(got, plain / factor, rtol=1e-12)
        assert temperature == 1.0
        got, temperature = frequencies(f"rotary(theta={theta},scaling=ntk(factor={factor}))")
        np.testing.assert_allclose(got, (theta * factor ** (16 / 14)) ** (-np.arange(8) / 8.0), rtol=1e-12)
        assert got[-1] == pytest.approx(plain[-1] / factor)
        assert temperature == 1.0


@pytest.mark.parametrize("factor", [3, 8])
@pytest.mark.parametrize("original", [512, 4096])
@pytest.mark.parametrize(("fast", "slow"), [(16, 2), (64, 0.5)])
def test_yarn_is_the_papers_at_two_values_of_each_option(factor, original, fast, slow):
    options = f"factor={factor},original={original},beta_fast={fast},beta_slow={slow}"
    got, temperature = frequencies(f"rotary(theta=500000,scaling=yarn({options}))", head_dim=32)
    np.testing.assert_allclose(got, yarn(32, 500000.0, factor, original, fast, slow), rtol=1e-12)
    assert temperature == pytest.approx(0.1 * math.log(factor) + 1)


def test_yarn_is_that_of_transformers():
    utils = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    rope = {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 2048,
    }
    config = LlamaConfig(
        hidden_size=256, num_attention_heads=4, max_position_embeddings=8192, rope_parameters=rope
    )
    theirs, temperature = utils.ROPE_INIT_FUNCTIONS["yarn"](config, "cpu")
    got, ours = frequencies("rotary(scaling=yarn(factor=4))", head_dim=64, max_len=2048)
    np.testing.assert_allclose(got, theirs.numpy(), rtol=1e-5)
    assert ours == pytest.approx(temperature)


def test_the_temperature_multiplies_queries_and_keys():
    geometry = Geometry(dim=64, heads=4, head_dim=16, max_len=32)
    query, at = torch.randn(1, 4, 3, 16), torch.arange(3)
    turned, _ = build("rotary(scaling=yarn(factor=4))", geometry).rotate(query, query, at, at)
    torch.testing.assert_close(turned.norm(dim=-1), query.norm(dim=-1) * (0.1 * math.log(4) + 1))


@pytest.mark.parametrize(("partial", "width"), [(0.25, 4), (0.5, 8)])
def test_partial_turns_the_first_dimensions_alone(partial, width):
    query, at = torch.randn(1, 4, 3, 16), torch.tensor([0, 5, 100_000])
    part = build(f"rotary(partial={partial})", Geometry(64, 4, 16, 32)).rotate(query, query, at, at)[0]
    first = query[..., :width]
    whole = build("rotary", Geometry(64, 4, width, 32)).rotate(first, first, at, at)
    assert torch.equal(part[..., width:], query[..., width:])
    torch.testing.assert_close(part[..., :width], whole[0])


def test_nested_options_have_one_spelling():
    spec = canonical("rotary(scaling=yarn(beta_fast=32, factor=2.0, original=auto))")
    assert str(spec) == "rotary(scaling=yarn)"
    assert canonical(spec) == spec
    assert str(canonical("rotary(scaling=none)")) == "rotary"
    assert str(canonical("rotary(scaling=linear(factor=4.0))")) == "rotary(scaling=linear(factor=4))"
    assert str(canonical("randomized(inner=learned(std=auto))")) == "randomized"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("rotary(scaling=yarm)", UnknownName),
        ("rotary(scaling=linear(beta_fast=2))", SpecError),
        ("rotary(scaling=linear(factor=yes))", SpecError),
        ("rotary(scaling=5)", SpecError),
        ("rotary(scaling=linear(factor=0.5))", OptionError),
        ("rotary(scaling=yarn(beta_fast=1,beta_slow=32))", OptionError),
        ("rotary(scaling=ntk,partial=0.125)", OptionError),
        ("rotary(partial=0.2)", OptionError),
        ("rotary(partial=2)", OptionError),
    ],
)
def test_scalings_that_make_no_sense_are_refused(spec, error):
    with pytest.raises(error):
        build(spec, Geometry(64, 4, 16, 32))
