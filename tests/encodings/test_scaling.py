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


def llama3(width, theta, factor, low, high, original):
    """Llama 3.1's code: by the number of turns over the original length."""
    plain = theta ** (-2 * np.arange(width // 2) / width)
    turns = original * plain / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return kept * plain + (1 - kept) * plain / factor


@pytest.mark.parametrize("factor", [4, 16])
@pytest.mark.parametrize(("low", "high"), [(1.5, 3), (0.5, 8)])
@pytest.mark.parametrize("original", [512, 2048])
@pytest.mark.parametrize("theta", [1000, 500000])
def test_llama3_is_the_authors_at_two_values_of_each_option(factor, low, high, original, theta):
    options = f"factor={factor},low={low},high={high},original={original}"
    got, temperature = frequencies(f"rotary(theta={theta},scaling=llama3({options}))", head_dim=32)
    np.testing.assert_allclose(got, llama3(32, theta, factor, low, high, original), rtol=1e-12)
    assert temperature == 1.0


def scores(spec, positions, head_dim=8):
    """Products of all queries and keys, ones before they turn."""
    encoding = build(spec, Geometry(dim=64, heads=1, head_dim=head_dim, max_len=32))
    query = torch.ones(1, 1, len(positions), head_dim)
    turned, against = encoding.rotate(query, query, positions, positions)
    return (turned @ against.mT)[0, 0].double().numpy(), encoding


def scores_of(frequencies, positions, temperature=1.0):
    """Pairs of ones turned by an angle each: twice the sum of the cosines of their distance."""
    at = positions.double().numpy()
    return 2 * temperature**2 * np.cos((at[:, None] - at)[..., None] * frequencies).sum(-1)


@pytest.mark.parametrize("factor", [2.5, 4])
@pytest.mark.parametrize("original", [20, 40])
@pytest.mark.parametrize("theta", [1000, 500000])
@pytest.mark.parametrize("length", [15, 30, 60])
def test_dynamic_raises_the_base_by_the_length_of_the_input(factor, original, theta, length):
    positions = torch.arange(length)
    got, encoding = scores(
        f"rotary(theta={theta},scaling=dynamic(factor={factor},original={original}))", positions
    )
    over = max(length, original)
    base = theta * (factor * over / original - (factor - 1)) ** (8 / 6)
    np.testing.assert_allclose(got, scores_of(base ** (-np.arange(4) / 4), positions), atol=2e-5)
    assert encoding.thresholds == (original,)
    assert not encoding.relative


@pytest.mark.parametrize(("short", "long"), [("1 1.25 1.5 2", "1 2 4 8"), ("2 2 2 2", "3 1 4 1.5")])
@pytest.mark.parametrize("original", [20, 40])
@pytest.mark.parametrize("theta", [1000, 500000])
@pytest.mark.parametrize("attention", ["factor=4", "attention=1.3"])
def test_longrope_divides_by_one_list_or_the_other(short, long, original, theta, attention):
    options = f"short='{short}',long='{long}',original={original},{attention}"
    temperature = 1.3 if "attention" in attention else math.sqrt(1 + math.log(4) / math.log(original))
    for length, divisors in ((15, short), (original, short), (original + 1, long), (60, long)):
        positions = torch.arange(length)
        got, _ = scores(f"rotary(theta={theta},scaling=longrope({options}))", positions)
        wanted = theta ** (-np.arange(4) / 4) / np.array([float(number) for number in divisors.split()])
        np.testing.assert_allclose(got, scores_of(wanted, positions, temperature), atol=2e-5)


@pytest.mark.parametrize(
    "scaling", ["dynamic(original=10)", "longrope(original=10,short='1 1 1 1',long='2 3 4 5')"]
)
def test_each_row_of_a_batch_grows_by_its_own_length(scaling):
    encoding = build(f"rotary(scaling={scaling})", Geometry(dim=64, heads=1, head_dim=8, max_len=32))
    query, positions = torch.randn(2, 1, 12, 8), torch.arange(12).expand(2, 12).clone()
    positions[0] -= 4
    positions.clamp_(min=0)
    together, _ = encoding.rotate(query, query, positions, positions)
    for row in range(2):
        part = slice(row, row + 1)
        alone, _ = encoding.rotate(query[part], query[part], positions[part], positions[part])
        torch.testing.assert_close(together[part], alone, atol=0, rtol=0)


def test_a_long_input_turns_all_cached_keys_by_the_newest_query():
    """Slots of a static cache that are not filled yet do not count."""
    encoding = build(
        "rotary(scaling=dynamic(original=10))", Geometry(dim=64, heads=1, head_dim=8, max_len=32)
    )
    query, keys = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 40, 8)
    _, cached = encoding.rotate(query, keys, torch.tensor([7]), torch.arange(40))
    _, whole = encoding.rotate(keys[:, :, :8], keys[:, :, :8], torch.arange(8), torch.arange(8))
    assert torch.equal(cached[:, :, :8], whole)


@pytest.mark.parametrize("truncate", ["on", "off"])
@pytest.mark.parametrize("attention", [0.9, 1.5])
def test_yarn_takes_its_temperature_and_leaves_its_bounds_where_they_are(truncate, attention):
    options = f"factor=4,original=512,truncate={truncate},attention={attention}"
    got, temperature = frequencies(f"rotary(theta=500000,scaling=yarn({options}))", head_dim=32)
    assert temperature == attention

    def pair_of(turns):
        return 32 * math.log(512 / (2 * math.pi * turns)) / (2 * math.log(500000.0))

    low, high = max(pair_of(32), 0), pair_of(1)
    if truncate == "on":
        low, high = math.floor(low), math.ceil(high)
    plain = 500000.0 ** (-np.arange(16) / 16)
    ramp = np.clip((np.arange(16) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(got, plain * (1 - ramp) + plain / 4 * ramp, rtol=1e-12)


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
    assert str(canonical("rotary(scaling=auto,theta=auto,partial=auto)")) == "rotary"
    assert str(canonical("rotary(scaling=none)")) == "rotary(scaling=none)"
    lists = "rotary(scaling=longrope(long='1.0 2.5',short='1.0 1.0'))"
    assert str(canonical(lists)) == lists
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
        ("rotary(scaling=dynamic,partial=0.125)", OptionError),
        ("rotary(scaling=dynamic(factor=0.5))", OptionError),
        ("rotary(scaling=dynamic(original=far))", OptionError),
        ("rotary(scaling=llama3(low=4,high=1))", OptionError),
        ("rotary(scaling=longrope)", OptionError),
        ("rotary(scaling=longrope(short='1 1 1 1 1 1 1 1',long='1 2 3'))", OptionError),
        ("rotary(scaling=longrope(short='1 1 1 1 1 1 1 x',long='1 1 1 1 1 1 1 1'))", OptionError),
        ("rotary(scaling=yarn(truncate=maybe))", OptionError),
        ("rotary(theta=fast)", OptionError),
        ("rotary(partial=some)", OptionError),
        ("rotary(partial=0.2)", OptionError),
        ("rotary(partial=2)", OptionError),
    ],
)
def test_scalings_that_make_no_sense_are_refused(spec, error):
    with pytest.raises(error):
        build(spec, Geometry(64, 4, 16, 32))
