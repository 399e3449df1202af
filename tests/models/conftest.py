"""Tiny random models of transformers."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from milepost.encodings import registered
from milepost.models.transformers_private import cache_argument, parameter_names


def make_gpt2(*, dropout=0.0, attention="sdpa", **options):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=50, n_positions=32, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
        bos_token_id=0, eos_token_id=None, pad_token_id=0, attn_implementation=attention, **options,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def make_bert(*, dropout=0.0, attention="sdpa", **options):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, max_position_embeddings=32, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, initializer_range=0.2, pad_token_id=0,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        attn_implementation=attention, **options,
    )  # fmt: skip
    return BertForMaskedLM(config).eval()


# every encoding goes through every property; those beyond the core do so with the slow tests
CORE = {"learned", "sinusoidal", "none", "rotary", "alibi", "t5", "shaw"}
CAUSAL_ONLY = {"xpos"}
TEXT = [name for name, cls in registered().items() if not cls.needs_grid]
MAKERS = {"gpt2": make_gpt2, "bert": make_bert}


@pytest.fixture
def make(request):
    """A maker of one family's models; the same weights each time."""
    return MAKERS[request.param]


def pytest_generate_tests(metafunc):
    """What a test takes and does not choose itself: both families, all encodings that make sense there."""
    said = " ".join(str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    families = "make" in metafunc.fixturenames and "make" not in said
    encodings = "encoding" in metafunc.fixturenames and "encoding" not in said
    marks = {name: () if name in CORE else pytest.mark.slow for name in TEXT}
    if families and encodings:
        pairs = [
            pytest.param(family, name, marks=marks[name])
            for family in MAKERS
            for name in marks
            if family == "gpt2" or name not in CAUSAL_ONLY
        ]
        metafunc.parametrize(("make", "encoding"), pairs, indirect=["make"])
    elif families:
        metafunc.parametrize("make", list(MAKERS), indirect=True)
    elif encodings:
        metafunc.parametrize("encoding", [pytest.param(name, marks=marks[name]) for name in marks])


@pytest.fixture(name="make_gpt2")
def _gpt2():
    return make_gpt2


@pytest.fixture(name="make_bert")
def _bert():
    return make_bert


@pytest.fixture
def cached():
    """The arguments that pass a cache to a model, under the name that this transformers has for it."""
    return lambda model, cache: {cache_argument(parameter_names(model)): cache, "use_cache": True}


@pytest.fixture
def tokens():
    return torch.randint(1, 50, (3, 12), generator=torch.Generator().manual_seed(1))
