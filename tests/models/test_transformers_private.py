"""What Milepost uses of transformers without a promise: each test says what broke when it fails."""

import importlib
from collections import OrderedDict

import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    Cache,
    DynamicCache,
    EncoderDecoderCache,
    PreTrainedModel,
    StaticCache,
)

import milepost
from milepost.errors import SwapRefused
from milepost.models import transformers_private as private
from milepost.tables import stacks_by_type

STACKS = [stack for stacks in stacks_by_type().values() for stack in stacks]
BASES = {row.base: getattr(importlib.import_module(row.module), row.base) for row in STACKS}


@pytest.mark.parametrize("base", BASES)
def test_every_argument_of_every_family_is_known(base):
    names = set(private.parameter_names_of(BASES[base])) - {"kwargs"}
    assert names <= private.KNOWN_ARGUMENTS, "transformers has new arguments: do they carry positions?"


@pytest.mark.parametrize("base", BASES)
def test_a_family_that_takes_use_cache_has_a_cache_argument_that_is_known(base):
    names = private.parameter_names_of(BASES[base])
    assert ("use_cache" in names) == (private.cache_argument(names) is not None)


def test_the_cache_argument_has_one_of_two_names(make_gpt2):
    assert private.cache_argument(private.parameter_names(make_gpt2())) in private.CACHE_ARGUMENTS
    assert private.cache_argument(["input_ids", "memory"]) is None


@pytest.mark.parametrize("name", ["cache", "past_key_values", "anything"])
def test_a_cache_is_found_under_any_name(name):
    cache = DynamicCache()
    assert private.find_cache({"input_ids": torch.ones(1, 1), name: cache}) is cache
    pair = EncoderDecoderCache(cache, DynamicCache())
    assert private.find_cache({name: pair}) is cache
    assert private.find_cache({"input_ids": torch.ones(1, 1), name: None}) is None


def test_what_is_no_cache_or_one_of_two_or_moves_its_queries_is_refused():
    class Moved(DynamicCache):
        def get_query_offset(self, layer_idx=0):
            return super().get_query_offset(layer_idx) + 1

    with pytest.raises(SwapRefused, match=r"unknown type(.|\n)*cache: tuple"):
        private.find_cache({"cache": ((torch.ones(1), torch.ones(1)),)})
    with pytest.raises(SwapRefused, match=r"more than one cache"):
        private.find_cache({"cache": DynamicCache(), "other": DynamicCache()})
    with pytest.raises(SwapRefused, match=r"shifts the positions(.|\n)*Moved"):
        private.find_cache({"cache": Moved()})


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_caches_say_how_long_they_are_and_what_their_masks_cover(make_gpt2, tokens, cached, kind):
    model = make_gpt2()
    cache: Cache = DynamicCache() if kind == "dynamic" else StaticCache(model.config, max_cache_len=20)
    assert int(cache.get_seq_length()) == 0
    model(tokens[:, :5], **cached(model, cache))
    assert int(cache.get_seq_length()) == 5
    keys, offset = cache.get_mask_sizes(3, 0)
    assert (keys, offset) == ((8, 0) if kind == "dynamic" else (20, 0))
    assert len(cache.layers) == 2


def test_the_cache_of_an_output_is_found(make_gpt2, tokens):
    assert isinstance(private.output_cache(make_gpt2()(tokens, use_cache=True)), DynamicCache)
    assert private.output_cache(OrderedDict(logits=tokens)) is None


@pytest.mark.parametrize(
    "value",
    [torch.arange(12)[None], 3, (1, 2), [torch.ones(1)], object()],
    ids=lambda value: type(value).__name__,
)
def test_an_argument_that_may_carry_positions_is_refused(make_gpt2, tokens, value):
    model = milepost.swap(make_gpt2(), "rotary")
    with pytest.raises(SwapRefused, match=r"does not know the argument 'token_places'(.|\n)*transformers \d"):
        model.transformer(tokens, token_places=value)


@pytest.mark.parametrize("value", [None, True, "text", 0.5])
def test_flags_and_text_are_let_through(make_gpt2, tokens, value):
    model = milepost.swap(make_gpt2(), "rotary")
    with torch.no_grad():
        assert torch.equal(model.transformer(tokens, flag=value)[0], model.transformer(tokens)[0])


def test_a_cache_under_a_new_name_is_not_overlooked(make_gpt2, tokens, cached):
    """The model ignores it, so that it stays empty; the hook does not."""
    model, cache = milepost.swap(make_gpt2(), "learned"), DynamicCache()
    model.transformer(tokens[:, :5], **cached(model, cache))
    with torch.no_grad():
        moved = model.transformer(tokens[:, :5], memory=cache)[0]
        unmoved = model.transformer(tokens[:, :5])[0]
    assert (moved - unmoved).abs().max() > 0.01


@pytest.mark.parametrize("base", BASES)
def test_eager_attention_stands_beside_the_layers_of_families_with_the_interface(base):
    row = next(row for row in STACKS if row.base == base)
    module = importlib.import_module(row.module)
    assert ("eager_attention_forward" in vars(module)) == row.interface


def test_attention_and_masks_are_registered_under_one_name(make_gpt2):
    milepost.swap(make_gpt2(), "rotary")
    for name in ("milepost_sdpa", "milepost_eager", "milepost_flex"):
        assert name in AttentionInterface() and name in AttentionMaskInterface()


def test_the_attention_implementation_is_read_and_written(make_gpt2):
    model = make_gpt2(attention="eager")
    assert private.read_attention(model.config) == "eager"
    private.write_attention(model.config, "sdpa")
    assert private.read_attention(model.config) == "sdpa" == model.config._attn_implementation
    assert private.supports_sdpa(type(model))


def test_tensors_are_saved_under_the_models_own_names(make_gpt2, tmp_path):
    model = milepost.swap(make_gpt2(), "learned")
    assert model._weight_conversions == []  # read by transformers.core_model_loading when it saves
    source = importlib.import_module("transformers.core_model_loading")
    assert "_weight_conversions" in importlib.import_module("inspect").getsource(source)


def test_a_config_class_is_put_before_the_familys_own(make_gpt2):
    stock = type(make_gpt2().config)
    mixin = type("Mixin", (), {"answer": 42})
    made = private.make_config_class(stock, mixin, model_type="milepost_x")
    assert issubclass(made, stock) and made.answer == 42 and made.model_type == "milepost_x"
    config = make_gpt2().config
    config.__class__ = made
    assert config.answer == 42 and config.n_embd == 32


def test_a_model_is_made_with_its_configs_attention_and_no_initial_weights(make_gpt2):
    model = make_gpt2(attention="eager")
    with private.no_init_weights():
        made = private.make_model(type(model), model.config)
    assert isinstance(made, PreTrainedModel) and private.read_attention(made.config) == "eager"


def test_attention_modules_know_their_layer(make_gpt2):
    assert [private.layer_of(block.attn) for block in make_gpt2().transformer.h] == [0, 1]


def test_the_classes_with_a_head_are_known_by_model_type():
    assert private.MASKED_LM_CLASSES["bert"] == "BertForMaskedLM"
    assert private.CAUSAL_LM_CLASSES["gpt2"] == "GPT2LMHeadModel"
