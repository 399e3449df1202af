"""Models from scratch: one seed, one value for every weight that encodings share."""

import hashlib
import math

import pytest
import torch

from milepost.encodings import registered
from milepost.models import ModelShape, build_scratch

SIZES = {"layers": 2, "dim": 32, "heads": 4, "max_len": 16, "init_std": 0.1}


def make(encoding, seed=0, **sizes):
    shape = ModelShape(**{"vocabulary_size": 50, **SIZES, **sizes})
    return build_scratch("causal-lm", shape, encoding=encoding, seed=seed)


def shared(model):
    return {name: value for name, value in model.state_dict().items() if ".milepost." not in name}


def test_all_encodings_share_every_other_weight_bit_for_bit():
    wanted = shared(make("none"))
    assert len(wanted) > 20
    for name in (name for name, cls in registered().items() if not cls.needs_grid):
        got = shared(make(name))
        assert got.keys() == wanted.keys()
        assert all(torch.equal(got[key], wanted[key]) for key in wanted), name


def test_another_seed_is_another_model():
    first, second = shared(make("none", seed=0)), shared(make("none", seed=1))
    assert not torch.equal(first["transformer.wte.weight"], second["transformer.wte.weight"])


def test_an_encoding_is_drawn_from_seed_and_name_alone():
    table = make("learned").transformer.milepost.weight
    torch.manual_seed(99)
    assert torch.equal(table, make("learned(past=clamp)").transformer.milepost.weight)
    assert not torch.equal(table, make("learned", seed=1).transformer.milepost.weight)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    make("learned")
    assert torch.equal(before, torch.get_rng_state())


def test_initial_scales_are_gpt2s():
    model = make("learned", dim=128)
    block = model.transformer.h[1]
    residual = 0.1 / math.sqrt(4)
    assert block.attn.c_attn.weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert block.attn.c_proj.weight.std().item() == pytest.approx(residual, rel=0.02)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(residual, rel=0.02)
    assert model.transformer.wte.weight.std().item() == pytest.approx(0.1, rel=0.03)
    assert model.transformer.milepost.weight.std().item() == pytest.approx(0.1, rel=0.05)
    assert (block.ln_1.weight == 1).all() and (block.attn.c_attn.bias == 0).all()
    assert model.lm_head.weight is model.transformer.wte.weight


def test_the_weights_are_those_that_comparisons_have_always_begun_with():
    digest = hashlib.sha256()
    for value in make("alibi").state_dict().values():
        digest.update(value.numpy().tobytes())
    assert digest.hexdigest()[:16] == "6f0ed82eabb39d4d"


def test_gradients_reach_every_parameter(encoding):
    model = make(encoding)
    tokens = torch.randint(0, 50, (2, 16), generator=torch.Generator().manual_seed(0))
    model(tokens).logits.square().mean().backward()
    missing = [name for name, value in model.named_parameters() if value.grad is None]
    still = [name for name, value in model.named_parameters() if name not in missing and not value.grad.any()]
    assert not missing and not still
