"""``rotary`` in models that are rotary themselves: their own settings and arithmetic."""

import copy
import json

import pytest
import torch
import transformers

from milepost.encodings import settle
from milepost.errors import OptionError, UnknownName
from milepost.models import geometry, load, swap

SIZES = {
    "vocab_size": 64, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64, "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "Llama": {"num_key_value_heads": 2},
    "Mistral": {"num_key_value_heads": 2},
    "Qwen2": {"num_key_value_heads": 2},
    "Qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "Phi": {},
    "Phi3": {"num_key_value_heads": 2, "original_max_position_embeddings": 32},
    "GPTNeoX": {},
}
PARTIAL = ("Phi", "Phi3", "GPTNeoX")
SETTINGS = {
    "default": {},
    "linear": {"factor": 3.0},
    "dynamic": {"factor": 2.5},
    "yarn": {"factor": 2.0, "original_max_position_embeddings": 32},
    "yarn, more": {
        "factor": 2.0, "original_max_position_embeddings": 32, "truncate": False, "attention_factor": 1.3, "beta_fast": 24,
    },
    "yarn, mscale": {
        "factor": 2.0, "original_max_position_embeddings": 32, "mscale": 0.7, "mscale_all_dim": 1.2,
    },
    "llama3": {
        "factor": 4.0, "low_freq_factor": 1.5, "high_freq_factor": 5.0, "original_max_position_embeddings": 32,
    },
    "longrope": {"original_max_position_embeddings": 32},
}  # fmt: skip


def make(name, settings="default", *, share=1.0, dtype=torch.float32, **options):
    rope = {"rope_type": settings.split(",")[0], "rope_theta": 500000.0, **SETTINGS[settings]}
    if name in PARTIAL:
        rope["partial_rotary_factor"] = share
    if settings == "longrope":
        pairs = int(16 * (share if name in PARTIAL else 1.0)) // 2
        rope["short_factor"] = [1 + 0.01 * pair for pair in range(pairs)]
        rope["long_factor"] = [1 + 0.3 * pair for pair in range(pairs)]
    config_class = getattr(transformers, f"{name}Config")
    config = config_class(**SIZES, **FAMILIES[name], **options, rope_parameters=rope)
    torch.manual_seed(0)
    return getattr(transformers, f"{name}ForCausalLM")._from_config(config, dtype=dtype).eval()


def tokens(length):
    return torch.randint(3, 60, (2, length), generator=torch.Generator().manual_seed(1))


def cases():
    for name in FAMILIES:
        for settings in SETTINGS:
            if name == "Phi3" and settings not in ("default", "longrope"):
                continue  # its config takes no others
            yield name, settings


@pytest.mark.parametrize(("name", "settings"), list(cases()))
@torch.no_grad()
def test_rotary_computes_what_stock_computes_bit_for_bit(name, settings):
    for share in (0.5, 0.25) if name in PARTIAL else (1.0,):
        if share == 0.25 and settings == "dynamic":
            share = 0.75
        for dtype in (torch.float32, torch.bfloat16):
            stock = make(name, settings, share=share, dtype=dtype)
            for length in (20, 50, 90):  # within both original lengths, past one, past both
                ids = tokens(length)
                # a stock model keeps the base of the longest input it has seen, so each gets a fresh one
                wanted = copy.deepcopy(stock)(ids, use_cache=False).logits
                swapped = swap(copy.deepcopy(stock), "rotary")
                assert torch.equal(swapped(ids, use_cache=False).logits, wanted)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Phi"])
def test_gradients_and_cached_steps_are_stocks_too(name, attention):
    stock = make(name, share=0.5, attn_implementation=attention)
    swapped = swap(copy.deepcopy(stock), "rotary")
    ids = tokens(12)
    for model in (stock, swapped):
        model(ids, use_cache=False).logits.square().mean().backward()
    for (key, one), other in zip(stock.named_parameters(), swapped.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), key
    options = {
        "max_new_tokens": 6,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    wanted, found = (torch.stack(model.generate(ids, **options).logits) for model in (stock, swapped))
    assert torch.equal(found, wanted)


@torch.no_grad()
def test_an_option_that_is_given_stands_and_the_rest_is_the_models_own():
    ids = tokens(20)
    found = swap(make("Phi", "linear", share=0.5), "rotary(theta=20000)")
    assert found.config.milepost["encoding"] == "rotary(partial=0.5,scaling=linear(factor=3),theta=20000)"
    config = make("Phi", "linear", share=0.5).config
    config.rope_parameters["rope_theta"] = 20000.0
    torch.manual_seed(0)
    stock = transformers.PhiForCausalLM(config).eval()
    assert torch.equal(found(ids).logits, stock(ids).logits)
    assert not torch.equal(swap(make("Phi", share=0.5), "rotary(partial=1)")(ids).logits, found(ids).logits)


@pytest.mark.parametrize("settings", ["default", "longrope", "dynamic"])
@torch.no_grad()
def test_what_auto_stands_for_is_saved_and_loaded(tmp_path, settings):
    model = swap(make("Llama", settings), "rotary")
    written = model.config.milepost["encoding"]
    assert "theta=500000" in written and "auto" not in written
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.config.milepost["encoding"] == written
    for length in (20, 50):
        assert torch.equal(again(tokens(length)).logits, model(tokens(length)).logits)
    # what a reader without the model makes of it
    assert str(settle(written, geometry(make("Phi")))) == written


@torch.no_grad()
def test_what_was_saved_before_auto_keeps_its_meaning(tmp_path):
    """Then rotary was base 10,000, the whole head and no scaling, whatever the model."""
    model = swap(make("Phi", "linear", share=0.5), "rotary(theta=10000,partial=1,scaling=none)")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for old in ("rotary", "rotary(partial=1)"):
        config["milepost"]["encoding"] = old
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert torch.equal(load(tmp_path)(tokens(20)).logits, model(tokens(20)).logits)


@torch.no_grad()
def test_the_way_back_to_rotary_is_bit_for_bit():
    stock = make("Llama", "llama3")
    swapped = swap(swap(copy.deepcopy(stock), "alibi"), "rotary")
    assert torch.equal(swapped(tokens(20)).logits, stock(tokens(20)).logits)


def test_a_model_without_rotary_settings_turns_by_ten_thousand(make_gpt2):
    model = swap(make_gpt2(), "rotary")
    assert model.config.milepost["encoding"] == "rotary(theta=10000)"
    assert model.transformer.milepost.theta == 10000.0
    assert not model.transformer.milepost.stock
    assert (
        swap(make_gpt2(), "shape(inner=rotary)").config.milepost["encoding"]
        == "shape(inner=rotary(theta=10000))"
    )


def test_layers_of_two_settings_have_no_auto():
    config = transformers.ModernBertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
        global_attn_every_n_layers=2, pad_token_id=0, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    model = transformers.ModernBertModel(config)
    with pytest.raises(OptionError, match="settings of their own"):
        swap(model, "rotary")
    swap(model, "rotary(theta=160000)")
    assert model.milepost.theta == 160000.0


def test_settings_that_are_not_known_are_an_error_for_rotary_alone():
    model = make("Llama")
    model.config.rope_parameters = {"rope_type": "proportional", "rope_theta": 10000.0}
    with pytest.raises(UnknownName, match="proportional"):
        swap(model, "rotary")
    swap(model, "rotary(scaling=none)")
    swap(model, "alibi")
