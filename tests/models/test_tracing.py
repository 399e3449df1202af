"""Swapped models as graphs: dynamic lengths, exported and traced."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.export import Dim

from milepost.encodings import registered
from milepost.errors import PastTheEnd
from milepost.models import swap

FAST = {("gpt2", "learned"), ("bert", "alibi")}
"""Compiled in the default run; the other pairs take as long and run with the slow tests."""


def text(length, batch=2):
    return torch.arange(batch * length).reshape(batch, length) % 49 + 1


def left_pads(tokens):
    mask = torch.ones_like(tokens)
    mask[1, :1] = 0
    return mask


def shallow(model):
    """The model with its first layer alone: layers compile alike."""
    base = model.base_model
    layers = base.h if hasattr(base, "h") else base.encoder.layer
    del layers[1:]
    return model


@functools.cache
def compilations_of_stock(make):
    return compilations(shallow(make()), [(text(length), {}) for length in (3, 7, 12)])


def compilations(model, calls):
    """How often ``torch.compile`` compiles a model for these calls."""
    torch._dynamo.reset()
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=count)
    with torch.no_grad():
        for tokens, options in calls:
            compiled(tokens, **options)
    return len(graphs)


@pytest.mark.parametrize(
    ("make", "encoding"),
    [
        pytest.param(family, name, marks=() if (family, name) in FAST else pytest.mark.slow)
        for family in ("gpt2", "bert")
        for name, cls in registered().items()
        if not cls.needs_grid and (family, name) != ("bert", "xpos")
    ],
    indirect=["make"],
)
def test_a_swapped_model_is_compiled_no_more_often_than_the_stock_one(make, encoding):
    # the first length is compiled as it is, the second as any; a length that is fixed shows at the third
    calls = [(text(length), {}) for length in (3, 7, 12)]
    assert compilations(shallow(swap(make(), encoding)), calls) <= compilations_of_stock(make)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5"])
def test_fifteen_lengths_with_left_pads_are_compiled_no_more_often(make, encoding):
    calls = [(tokens, {"attention_mask": left_pads(tokens)}) for tokens in map(text, range(3, 33, 2))]
    assert compilations(swap(make(), encoding), calls) <= compilations(make(), calls) == 2


@pytest.mark.slow
def test_the_count_of_compilations_sees_a_length_that_is_fixed(make_gpt2):
    def fix(module, args):
        range(args[0].shape[1])

    model = shallow(make_gpt2())
    model.transformer.register_forward_pre_hook(fix)
    assert compilations(model, [(text(length), {}) for length in (3, 7, 12)]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5"])
def test_steps_with_a_growing_cache_are_compiled_no_more_often(make_gpt2, encoding):
    def steps(model):
        with torch.no_grad():
            caches = [model(text(length), use_cache=True).past_key_values for length in (3, 5, 8, 13, 20)]
        return [(text(1), {"past_key_values": copy.deepcopy(cache)}) for cache in caches]

    stock, swapped = make_gpt2(), swap(make_gpt2(), encoding)
    assert compilations(swapped, steps(swapped)) <= compilations(stock, steps(stock))


@pytest.mark.parametrize("lengths", [(4,), pytest.param((4, 9), marks=pytest.mark.slow)])
def test_a_compiled_model_past_its_table_is_an_error(make_gpt2, lengths):
    torch._dynamo.reset()
    model = shallow(swap(make_gpt2(), "learned"))
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        for length in lengths:
            torch.testing.assert_close(compiled(text(length)).logits, model(text(length)).logits)
        with pytest.raises(IndexError):
            compiled(text(33))


class Logits(nn.Module):
    """A model as a function of tokens and mask alone, as exporters take it."""

    def __init__(self, model):
        super().__init__()
        self.model = model.eval()

    def forward(self, tokens, attention_mask):
        return self.model(tokens, attention_mask=attention_mask).logits


def answer(recorded, tokens):
    """What a recorded graph answers; ``None`` where it refuses the length."""
    try:
        return recorded(tokens, left_pads(tokens))
    except (RuntimeError, AssertionError, IndexError):
        return None


def require_same_at_other_lengths(model, recorded):
    """The model's own numbers at other lengths; past its table NaN or an error."""
    for length in (3, 20, 32, 40):
        tokens = text(length)
        found = answer(recorded, tokens)
        try:
            wanted = model(tokens, left_pads(tokens))
        except PastTheEnd:
            assert found is None or found[0, 32:].isnan().all()
        else:
            assert found is not None
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_check_of_other_lengths_can_fail(make_gpt2):
    model = Logits(swap(make_gpt2(), "learned"))

    def clamping(tokens, mask):
        return torch.cat((model(tokens[:, :32], mask[:, :32]), tokens.new_zeros(2, 8, 50).float()), 1)

    with torch.no_grad(), pytest.raises(AssertionError):
        require_same_at_other_lengths(model, clamping)
    with torch.no_grad(), pytest.raises(AssertionError):
        require_same_at_other_lengths(model, lambda tokens, mask: model(tokens[:, :3], mask[:, :3]))


@pytest.mark.filterwarnings("ignore")  # the tracer's own, about values that it takes for constants
@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5"])
def test_a_traced_model_does_not_fix_the_length(make, encoding):
    model = Logits(swap(make(), encoding))
    with torch.no_grad():
        model(text(7), left_pads(text(7)))  # what is kept between calls must not become a constant
        recorded = torch.jit.trace(model, (text(7), left_pads(text(7))), check_trace=False)
        require_same_at_other_lengths(model, recorded)


@pytest.mark.parametrize(
    ("make", "encoding"),
    [
        ("gpt2", "learned"),
        *[
            pytest.param(family, name, marks=pytest.mark.slow)
            for family in ("gpt2", "bert")
            for name in ("learned", "sinusoidal", "rotary", "alibi", "t5", "none")
            if (family, name) != ("gpt2", "learned")
        ],
    ],
    indirect=["make"],
)
def test_a_model_is_exported_with_any_length(make, encoding):
    model = Logits(swap(make(), encoding))
    inputs = (text(7), left_pads(text(7)))
    with torch.no_grad():
        program = torch.export.export(model, inputs, dynamic_shapes=({1: Dim.DYNAMIC},) * 2)
        require_same_at_other_lengths(model, program.module())
