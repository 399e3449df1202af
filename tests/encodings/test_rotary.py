import numpy as np
import pytest
import torch

from milepost.encodings import RotaryPositions
from milepost.errors import OptionError


def oracle(heads, positions, theta):
    """x -> R(position) x; pair i of width d turns by position * theta^(-2i/d), as complex numbers."""
    half = heads.shape[-1] // 2
    paired = heads[..., :half] + 1j * heads[..., half:]
    angle = positions[..., None] * theta ** (-np.arange(half) / half)
    turned = paired * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], -1)


def heads(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


@pytest.mark.parametrize("thetas", [(100.0, 5e5), (5e5, 100.0)])
def test_it_is_the_papers_at_two_bases_in_both_orders(thetas):
    query, key = heads(2, 3, 4, 8), heads(2, 1, 5, 8, seed=1)
    at = torch.tensor([0, 7, 4096, 100_000])
    keys = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 0, 99_999, 100_000]])
    made = [RotaryPositions(8, theta=theta) for theta in thetas]
    for encoding, theta in zip(made, thetas, strict=True):
        turned, against = encoding.rotate(query, key, at, keys)
        np.testing.assert_allclose(turned, oracle(query.numpy(), at.numpy(), theta), atol=2e-6)
        np.testing.assert_allclose(against, oracle(key.numpy(), keys.numpy()[:, None], theta), atol=2e-6)


def test_it_is_what_llama_computes():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(
        hidden_size=32, num_attention_heads=4, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    )
    query, key, positions = heads(2, 4, 6, 8), heads(2, 2, 6, 8), torch.arange(6)[None]
    cos, sin = llama.LlamaRotaryEmbedding(config)(query, positions)
    wanted = llama.apply_rotary_pos_emb(query, key, cos, sin)
    got = RotaryPositions(8, theta=500.0).rotate(query, key, positions, positions)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_half_precision_turns_in_float32():
    encoding, query, at = RotaryPositions(8), heads(1, 2, 3, 8), torch.tensor([255, 256, 257])
    got = encoding.rotate(query.bfloat16(), query.bfloat16(), at, at)[0]
    wanted = encoding.rotate(query.bfloat16().float(), query, at, at)[0].bfloat16()
    assert torch.equal(got, wanted)


def test_changing_positions_in_place_is_noticed():
    encoding, query, at = RotaryPositions(4), heads(1, 1, 2, 4), torch.tensor([0, 1])
    before = encoding.rotate(query, query, at, at)[0]
    at += 3
    fresh = RotaryPositions(4).rotate(query, query, at.clone(), at.clone())[0]
    assert torch.equal(encoding.rotate(query, query, at, at)[0], fresh)
    assert not torch.equal(before, fresh)


@pytest.mark.parametrize("head_dim", [0, 1, 7])
def test_an_odd_head_width_is_refused(head_dim):
    with pytest.raises(OptionError, match=f"head_dim={head_dim}"):
        RotaryPositions(head_dim)
