"""The self-test of positions: what passes, what is found, and that each check can fail."""

import copy

import pytest
import torch
from transformers import (
    BartConfig,
    BartModel,
    CLIPConfig,
    CLIPModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    RobertaConfig,
    RobertaModel,
    ViTConfig,
    ViTModel,
)

import milepost
from milepost.encodings import FireBias
from milepost.errors import UnknownFamily
from milepost.models.check.positions import check_positions

WIDE = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
}  # fmt: skip
CODES = [f"MP34{digit}" for digit in range(10)]


def make_roberta():
    torch.manual_seed(0)
    return RobertaModel(RobertaConfig(max_position_embeddings=34, pad_token_id=1, **WIDE))


def make_opt():
    torch.manual_seed(0)
    sizes = {name: WIDE[name] for name in WIDE if name != "intermediate_size"}
    config = OPTConfig(
        ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=32, pad_token_id=1, **sizes
    )
    return OPTForCausalLM(config)


def make_bart():
    sizes = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in
             {"layers": 1, "attention_heads": 2, "ffn_dim": 16}.items()}  # fmt: skip
    torch.manual_seed(0)
    return BartModel(BartConfig(vocab_size=60, d_model=16, max_position_embeddings=32, **sizes))


def make_llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(max_position_embeddings=32, num_key_value_heads=2, **WIDE))


def findings(model, **options):
    return {found.code: found for found in check_positions(model, **options)}


def issues(model):
    return {code for code, found in findings(model).items() if found.status == "issue"}


def break_gpt2(make_gpt2, change):
    """A GPT-2 whose body is called with other arguments than those given."""
    model = make_gpt2()

    def hook(module, args, kwargs):
        given = dict(kwargs)
        if args:
            given["input_ids"] = args[0]
        change(given)
        return (), given

    model.transformer.register_forward_pre_hook(hook, with_kwargs=True)
    return model


def test_gpt2_counts_left_pads_and_the_fix_is_named(make_gpt2):
    found = findings(make_gpt2())
    assert list(found) == CODES
    assert [code for code in found if found[code].status == "issue"] == ["MP343"]
    assert "without position_ids counts left pads" in found["MP343"].got
    assert "(attention_mask.cumsum(-1) - 1).clamp(min=0)" in found["MP343"].fix
    assert "milepost.swap(model, 'learned')" in found["MP343"].fix
    assert found["MP343"].where == "GPT2LMHeadModel"
    assert found["MP348"].status == "tip"
    assert "IndexError: index out of range in self" in found["MP348"].got
    assert found["MP349"].status == "passed"


def test_bert_counts_left_pads_and_has_no_cache(make_bert):
    found = findings(make_bert())
    assert [code for code in found if found[code].status == "issue"] == ["MP343"]
    assert found["MP345"].status == found["MP349"].status == "not_applicable"
    assert "RuntimeError" in found["MP348"].got


@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5", "alibi"])
def test_a_swapped_gpt2_passes(make_gpt2, encoding):
    found = findings(milepost.swap(make_gpt2(), encoding))
    codes = ["MP340", "MP341", "MP342", "MP343", "MP344", "MP345", "MP346", "MP347", "MP348", "MP349"]
    assert {code: found[code].status for code in found} == dict.fromkeys(codes, "passed")
    assert ("PastTheEnd" in found["MP348"].got) == (encoding == "learned")


def make_fire(make_gpt2, threshold):
    """A swapped GPT-2 whose bias tells distances of one share from those of another."""
    model = milepost.swap(make_gpt2(), f"fire(threshold={threshold})")
    torch.manual_seed(1)
    for weight in model.transformer.milepost.parameters():
        if weight.ndim > 1:
            weight.data.normal_()
    return model


@pytest.mark.parametrize("threshold", [20, 60])
def test_pads_and_caches_are_tried_on_both_sides_of_a_threshold(make_gpt2, monkeypatch, threshold):
    model = make_fire(make_gpt2, threshold)
    assert {f.status for code, f in findings(model).items() if code != "MP348"} == {"passed"}
    # as if distances were all: right up to the threshold
    monkeypatch.setattr(FireBias, "relative", True)
    found = findings(model)["MP343"]
    assert found.status == "issue"
    assert f"at {threshold - 2} tokens" in found.got
    monkeypatch.setattr(FireBias, "thresholds", ())
    assert findings(model, length=8)["MP343"].status == "passed"  # short of the threshold it does not show


def test_random_positions_pass_and_take_no_cache(make_gpt2):
    found = findings(milepost.swap(make_gpt2(), "randomized(inner=alibi,max_len=64)"))
    assert {found[code].status for code in ("MP341", "MP342", "MP343")} == {"passed"}
    assert found["MP345"].status == found["MP349"].status == "not_applicable"


@pytest.mark.parametrize("make_model", [make_roberta, make_opt, make_llama])
def test_families_that_count_from_the_mask_or_by_distance_pass_left_pads(make_model):
    found = findings(make_model())
    assert all(found[code].status == "passed" for code in ("MP341", "MP342", "MP343", "MP344"))


def test_roberta_counts_ids_and_counts_pads_under_inputs_embeds():
    found = findings(make_roberta())
    assert found["MP346"].status == "tip"
    assert "id 1 in mid-sequence" in found["MP346"].got
    assert found["MP347"].status == "issue"
    assert found["MP347"].fix.startswith(
        "pass position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0) + 2"
    )


@pytest.mark.parametrize("make_model", [make_roberta, make_opt, make_bart])
def test_the_swap_that_a_fix_offers_mends_it(make_model):
    model = make_model()
    offered = [found for found in findings(model).values() if "milepost.swap" in found.fix]
    mended = findings(milepost.swap(model, "learned"))
    assert offered
    assert {mended[found.code].status for found in offered} == {"passed"}


def test_the_limit_of_a_table_with_reserved_rows_is_that_of_its_positions():
    assert "token 33" in findings(make_roberta())["MP348"].got
    assert "token 33" in findings(make_opt())["MP348"].got


def test_without_a_table_the_end_is_no_end():
    found = findings(make_llama())["MP348"]
    assert (found.status, found.got) == ("passed", "no limit: token 33 is answered")


def test_an_encoder_decoder_is_tried_at_its_encoder():
    found = findings(make_bart())
    assert found["MP343"].status == "issue"
    assert found["MP343"].where == "the encoder of BartModel"
    assert "padding_side = 'right'" in found["MP343"].fix
    assert found["MP345"].status == found["MP344"].status == "not_applicable"


def test_what_reads_no_tokens_is_not_applicable():
    sizes = {name: WIDE[name] for name in WIDE if name != "vocab_size"}
    found = findings(ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes)))
    assert {code: one.status for code, one in found.items()} == {"MP340": "not_applicable"}
    assert "pixel_values" in found["MP340"].got


def test_what_fails_to_run_is_told_with_the_error(make_gpt2):
    model = make_gpt2()
    model.transformer.h[0].mlp.forward = None
    found = findings(model)
    assert found["MP340"].status == "issue"
    assert "TypeError" in found["MP340"].got


def test_a_model_that_reads_images_too_is_not_blamed_for_failing_on_tokens_alone():
    text = {name: WIDE[name] for name in WIDE}
    vision = {name: WIDE[name] for name in WIDE if name != "vocab_size"} | {"image_size": 16, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    (found,) = findings(CLIPModel(config)).values()
    assert (found.code, found.status) == ("MP340", "cannot_tell")
    assert "also reads pixel_values" in found.got


def test_outputs_that_are_no_numbers_are_an_issue(make_gpt2):
    model = make_gpt2()
    torch.nn.init.constant_(model.transformer.ln_f.weight, float("inf"))
    (found,) = findings(model).values()
    assert (found.code, found.status) == ("MP340", "issue")
    assert "NaN or infinite; no weight is NaN" in found.got


def test_a_nan_that_random_tokens_miss_is_an_issue(make_gpt2):
    model = make_gpt2()
    torch.nn.init.constant_(model.transformer.wpe.weight[31:], float("nan"))
    found = findings(model)["MP340"]
    assert found.status == "issue"
    assert "transformer.wpe.weight" in found.got and "wte" not in found.got


def test_what_is_no_model_of_transformers_is_refused():
    with pytest.raises(UnknownFamily):
        check_positions(torch.nn.Linear(2, 2))


def no_mask(given):
    if given["attention_mask"].ndim == 2:
        given["attention_mask"] = None


def no_positions(given):
    given["position_ids"] = None


def new_count_in_each_call(given):
    if given.get("position_ids") is None:
        given["position_ids"] = torch.arange(given["input_ids"].shape[1])[None]


def rows_shifted(given):
    if given.get("input_ids") is not None and len(given["input_ids"]) > 1:
        rows, seq = given["input_ids"].shape
        given["position_ids"] = torch.arange(seq)[None] + torch.arange(rows)[:, None]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (rows_shifted, "MP341"),
        (no_mask, "MP343"),
        (no_positions, "MP344"),
        (new_count_in_each_call, "MP345"),
        (no_positions, "MP349"),
    ],
)
def test_each_check_finds_a_model_that_is_broken_there(make_gpt2, change, code):
    assert code in issues(break_gpt2(make_gpt2, change))


def test_a_bidirectional_model_that_ignores_its_mask_fails_right_pads(make_bert):
    model = make_bert()

    def hook(module, args, kwargs):
        return args, kwargs | {"attention_mask": None}

    model.bert.register_forward_pre_hook(hook, with_kwargs=True)
    found = findings(model)
    assert found["MP342"].status == found["MP343"].status == "issue"
    assert "without pads" in found["MP342"].fix


def test_a_wrong_cache_is_told_from_a_missing_position(make_gpt2):
    found = findings(break_gpt2(make_gpt2, new_count_in_each_call))["MP345"]
    assert "go on where the cache ends" in found.fix


class Clamping(torch.nn.Embedding):
    def forward(self, rows):
        return super().forward(rows.clamp(max=self.num_embeddings - 1))


class Nothing(torch.nn.Embedding):
    def forward(self, rows):
        return (
            super()
            .forward(rows % self.num_embeddings)
            .masked_fill((rows >= self.num_embeddings)[..., None], float("nan"))
        )


@pytest.mark.parametrize(("table", "word"), [(Clamping, "without an error"), (Nothing, "NaN")])
def test_a_table_that_answers_past_its_end_is_an_issue(make_gpt2, table, word):
    model = make_gpt2()
    model.transformer.wpe = table(32, 32)
    found = findings(model)["MP348"]
    assert found.status == "issue"
    assert word in found.got


def test_a_table_longer_than_the_buffer_beside_it_is_an_issue(make_bert):
    model = make_bert()
    model.bert.embeddings.position_embeddings = torch.nn.Embedding(40, 32)
    found = findings(model)["MP348"]
    assert found.status == "issue"
    assert "40 tokens fail" in found.got


def test_a_long_table_is_left_alone(make_gpt2):
    found = findings(make_gpt2(), longest=32)["MP348"]
    assert found.status == "cannot_tell"


def test_the_tolerance_decides(make_gpt2):
    assert findings(make_gpt2(), tolerance=100.0)["MP343"].status == "passed"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_and_the_random_state_are_left_alone(make_gpt2, dtype):
    model = make_gpt2(dropout=0.5).to(dtype).train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    weights, config = copy.deepcopy(model.state_dict()), copy.deepcopy(model.config.to_dict())
    random = torch.get_rng_state()
    assert findings(model)["MP343"].status == "issue"
    assert [module.training for module in model.modules()] == modes
    assert model.config.to_dict() == config
    assert torch.equal(torch.get_rng_state(), random)
    after = model.state_dict()
    assert all(torch.equal(weights[name], after[name]) and after[name].dtype == dtype for name in weights)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_the_tokenizers_pad_counts(make_gpt2):
    class Tokenizer:
        pad_token_id = 7
        all_special_ids = (7, 9)

    roberta = make_roberta()  # counts ids that are not 1: an ordinary pad of 7 is a token like any other
    assert check_positions(roberta, Tokenizer())[6].status == "passed"


def test_gpt2_config_without_special_ids_is_checked_too():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=40, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    )
    assert issues(GPT2LMHeadModel(config)) == {"MP343"}


def test_a_check_that_applies_and_cannot_run_is_an_issue(make_gpt2, monkeypatch):
    """A transformers that calls its cache by a name that nobody has seen must not look like a pass."""
    monkeypatch.setattr("milepost.models.check.runnable_model.cache_argument", lambda names: None)
    found = findings(make_gpt2())["MP345"]
    assert found.status == "issue"
    assert "did not run" in found.got and "no cache argument that is known" in found.got


def test_generate_that_differs_without_a_cache_is_an_issue(make_gpt2):
    """Positions that restart in each cached step: pads or none, the cached scores agree with each other."""
    found = findings(break_gpt2(make_gpt2, restart_when_cached))["MP349"]
    assert found.status == "issue"
    assert "with a cache differs" in found.got and "use_cache=False" in found.fix


def restart_when_cached(given):
    if given["input_ids"].shape[1] == 1:
        given["position_ids"] = torch.zeros_like(given["input_ids"])
