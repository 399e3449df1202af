"""What a swap keeps, what it changes, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel, MambaConfig, MambaModel, T5Config, T5Model

from milepost.encodings import LearnedPositions, registered
from milepost.errors import OptionError, PastTheEnd, SwapRefused, UnknownFamily, UnknownName
from milepost.models import geometry
from milepost.models import swap as swap_alone

RELATIVE = ("none", "rotary", "alibi", "t5")
ABSOLUTE = ("learned", "sinusoidal")


def swap(model, encoding, **options):
    """Swap, and give encodings that start at zero something to say."""
    model = swap_alone(model, encoding, **options)
    generator = torch.Generator().manual_seed(5)
    for parameter in model.base_model.milepost.parameters():
        if not parameter.any() and "zeros" not in str(encoding):
            parameter.data.normal_(generator=generator)
    return model


def logits(model, tokens, **inputs):
    with torch.no_grad():
        return model(tokens, **inputs).logits


def left_padded(tokens, pads):
    """The last row of tokens behind pads, and its mask."""
    row = tokens[:1]
    padded = torch.cat([torch.zeros(1, pads, dtype=torch.int64), row], 1)
    return row, padded, (torch.arange(padded.shape[1]) >= pads).long()[None]


# ---- learned to learned


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("spec", ["learned", "learned(past=clamp)"])
@pytest.mark.parametrize("positions", ["mask", "stock"])
@pytest.mark.parametrize("masked", [False, True])
def test_learned_to_learned_is_bit_identical_with_dropout(make, tokens, attention, spec, positions, masked):
    stock = make(dropout=0.1, attention=attention).train()
    swapped = swap(copy.deepcopy(stock), spec, positions=positions)
    inputs = {"attention_mask": (torch.arange(12) < torch.tensor([[12], [9], [4]])).long()} if masked else {}
    results = []
    for model in (stock, swapped):
        torch.manual_seed(3)
        out = model(tokens, labels=tokens, output_hidden_states=True, **inputs)
        out.loss.backward()
        grads = [value.grad for name, value in model.named_parameters() if "position" not in name]
        results.append((out.loss, out.logits, *out.hidden_states, grads))
    for first, second in zip(results[0][:-1], results[1][:-1], strict=True):
        assert torch.equal(first, second)
    old = [value.grad for name, value in stock.named_parameters()]
    new = {name: value.grad for name, value in swapped.named_parameters()}
    table = [new.pop(name) for name in list(new) if ".milepost." in name]
    kept = [g for n, g in zip((n for n, _ in stock.named_parameters()), old, strict=True) if n in new]
    assert len(kept) == len(old) - 1 and len(table) == 1
    assert all(torch.equal(a, b) for a, b in zip(kept, new.values(), strict=True))
    gone = next(v.grad for n, v in stock.named_parameters() if n not in new)
    assert torch.equal(gone, table[0])


def test_the_table_keeps_its_rows_and_size(make):
    model = make()
    measured = geometry(model)
    assert measured.max_len == 32 and measured.embedding_rms == pytest.approx(0.2, rel=0.1)
    base = swap(model, "learned").base_model
    assert base.milepost.weight.shape == (32, 32)
    assert swap(make(), "learned", max_len=8).base_model.milepost.usable_length == 8


def test_other_initial_values_are_a_new_table(make):
    assert swap(make(), "learned(rows=64)").base_model.milepost.usable_length == 64
    fresh = swap(make(), "learned(init=zeros)", max_len=64).base_model.milepost
    assert fresh.weight.shape == (64, 32) and not fresh.weight.any()


def test_a_sinusoid_is_scaled_to_the_table_it_replaces(make):
    model = make()
    rms = geometry(model).embedding_rms
    encoding = swap(model, "sinusoidal").base_model.milepost
    assert encoding.vectors(range(32)).square().mean().sqrt().item() == pytest.approx(rms, rel=0.05)


# ---- positions


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_left_pads_change_nothing(make, tokens, encoding, attention):
    model = swap(make(attention=attention), encoding)
    row, padded, mask = left_padded(tokens, 5)
    torch.testing.assert_close(
        logits(model, padded, attention_mask=mask)[:, 5:], logits(model, row), atol=1e-5, rtol=1e-5
    )


def test_stock_positions_ignore_left_pads_as_the_family_does(make, tokens):
    row, padded, mask = left_padded(tokens, 5)
    stock, swapped = make(), swap(make(), "learned", positions="stock")
    assert torch.equal(
        logits(stock, padded, attention_mask=mask), logits(swapped, padded, attention_mask=mask)
    )
    difference = logits(swapped, padded, attention_mask=mask)[:, 5:] - logits(swapped, row)
    assert difference.abs().max() > 0.1


def test_a_sequence_that_begins_with_a_token_keeps_the_familys_positions(make, tokens):
    mask = torch.ones_like(tokens)
    mask[0, :4] = 0  # left pads: this sequence counts real tokens
    mask[1, 3:5] = 0  # a hole and right pads: these do not
    mask[2, 9:] = 0
    stock, swapped = make(), swap(make(), "learned")
    wanted, got = logits(stock, tokens, attention_mask=mask), logits(swapped, tokens, attention_mask=mask)
    assert torch.equal(got[1:], wanted[1:]) and not torch.equal(got[0, 4:], wanted[0, 4:])


@pytest.mark.parametrize("encoding", RELATIVE)
def test_a_shift_of_all_positions_changes_nothing(make, tokens, encoding):
    model = swap(make(), encoding)
    places = torch.arange(12)[None].expand(3, -1)
    torch.testing.assert_close(
        logits(model, tokens, position_ids=places + 1000),
        logits(model, tokens, position_ids=places),
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", [*ABSOLUTE, "rotary", "alibi", "t5"])
def test_positions_that_are_passed_are_used(make, tokens, encoding):
    model = swap(make(), encoding)
    spread = torch.arange(12)[None].expand(3, -1) * 2
    assert (logits(model, tokens, position_ids=spread) - logits(model, tokens)).abs().max() > 1e-3


def test_packed_documents_equal_documents_alone(make, tokens, encoding):
    model = swap(make(), encoding)
    causal = type(model) is GPT2LMHeadModel
    document = torch.tensor([0] * 5 + [1] * 7)
    block = document[:, None] == document[None]
    block = (block.tril() if causal else block)[None, None]
    places = torch.cat([torch.arange(5), torch.arange(7)])[None]
    packed = logits(model, tokens[:1], position_ids=places, attention_mask=block)
    apart = [logits(model, tokens[:1, :5]), logits(model, tokens[:1, 5:])]
    # what places a text by its length places all documents of a pack as it places the longest
    first = 5 if registered()[encoding].needs_whole else 0
    torch.testing.assert_close(packed[:, first:], torch.cat(apart, 1)[:, first:], atol=1e-5, rtol=1e-5)


def test_embeddings_as_input_equal_tokens(make, tokens, encoding):
    model = swap(make(), encoding)
    embeds = model.get_input_embeddings()(tokens)
    with torch.no_grad():
        assert torch.equal(model(inputs_embeds=embeds).logits, logits(model, tokens))


# ---- the table is out


@pytest.mark.parametrize("encoding", RELATIVE)
def test_no_position_vectors_are_left(make, encoding):
    model = swap(make(), encoding)
    base = model.base_model
    slot = base.wpe if hasattr(base, "wpe") else base.embeddings.position_embeddings
    assert slot(torch.arange(4)).shape == () and slot(torch.arange(4)) == 0
    assert not any("wpe" in name or "position" in name for name, _ in model.named_parameters())


def test_without_encoding_an_encoder_does_not_see_order(make_bert, tokens):
    model = swap(make_bert(), "none")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(logits(model, tokens[:, order]), logits(model, tokens)[:, order],
                               atol=1e-5, rtol=1e-5)  # fmt: skip


# ---- past the end


def test_past_the_end_is_a_readable_error(make):
    model = swap(make(), "learned")
    with pytest.raises(PastTheEnd, match=r"\[MP101\] position 39 is past the end"):
        model(torch.ones(1, 40, dtype=torch.int64))


@pytest.mark.parametrize("encoding", [*RELATIVE, "sinusoidal", "learned(past=clamp)"])
@pytest.mark.parametrize("embeds", [False, True])
def test_encodings_without_a_limit_go_past_every_buffer(make, encoding, embeds):
    model = swap(make(), encoding)
    tokens = torch.ones(2, 80, dtype=torch.int64)
    inputs = {"inputs_embeds": model.get_input_embeddings()(tokens)} if embeds else {"input_ids": tokens}
    with torch.no_grad():
        assert model(**inputs).logits.isfinite().all()


# ---- refusals


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("encoding", "options", "error"),
    [
        ("rotery", {}, UnknownName),
        ("learned", {"max_len": 64}, SwapRefused),
        ("learned", {"positions": "guess"}, OptionError),
        ("learned(std=-1)", {}, OptionError),
    ],
)
def test_a_refused_swap_leaves_the_model_untouched(make, tokens, encoding, options, error):
    model = make()
    before, config, text, out = state(model), model.config, str(model), logits(model, tokens)
    with pytest.raises(error):
        swap(model, encoding, **options)
    assert model.config is config and type(config).model_type in ("gpt2", "bert") and str(model) == text
    assert state(model).keys() == before.keys() and torch.equal(logits(model, tokens), out)


def test_a_family_with_positions_of_its_own_kind_is_refused_with_the_reason():
    small = T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=10)
    with pytest.raises(SwapRefused, match="distances of positions in its own way"):
        swap(T5Model(small), "rotary")


def test_an_unknown_family_is_refused():
    small = MambaConfig(hidden_size=8, state_size=4, num_hidden_layers=1, vocab_size=10)
    model = MambaModel(small)
    with pytest.raises(SwapRefused, match=r"it has no attention(.|\n)*'mamba'"):
        swap(model, "rotary")
    model.config.model_type = "brand_new"
    with pytest.raises(UnknownFamily, match=r"'brand_new'"):
        swap(model, "rotary")
    with pytest.raises(UnknownFamily, match="Linear"):
        swap(torch.nn.Linear(2, 2), "rotary")


def test_an_implementation_without_our_attention_is_refused(make):
    model = make()
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(SwapRefused, match="flash_attention_2"):
        swap(model, "rotary")


def test_leaving_our_attention_after_the_swap_is_an_error(make, tokens):
    model = swap(make(), "rotary")
    model.set_attn_implementation("eager")
    with pytest.raises(SwapRefused, match="left out"):
        model(tokens)
    model.set_attn_implementation("milepost_eager")
    assert model(tokens).logits.isfinite().all()


def test_models_that_shared_a_config_stay_as_they_are(tokens):
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4, bos_token_id=0, eos_token_id=0)
    first, second = GPT2LMHeadModel(config), GPT2LMHeadModel(config).eval()
    before = logits(second, tokens)
    swap(first, "alibi")
    assert second.config.model_type == "gpt2" and torch.equal(logits(second, tokens), before)


# ---- again, and copies


def test_a_second_swap_takes_the_place_of_the_first(make, tokens, encoding):
    then = encoding
    once = logits(swap(make(), then), tokens)
    if then != "learned":  # its table is gone after the first swap
        for first in ("learned", "rotary", "alibi", "sinusoidal"):
            assert torch.equal(logits(swap(swap(make(), first), then), tokens), once), first
    back = swap(swap(make(), "learned"), "learned")
    assert torch.equal(logits(back, tokens), logits(make(), tokens))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_copies_point_at_their_own_encoding(make, tokens, encoding, copied):
    model = swap(make(), encoding)
    other, wanted = copied(model), logits(model, tokens)
    assert torch.equal(logits(other, tokens), wanted)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(logits(other, tokens), wanted)
    for parameter in other.base_model.milepost.parameters():
        parameter.data.add_(torch.randn_like(parameter))
        assert not torch.equal(logits(other, tokens), wanted)


def test_an_encoding_built_by_hand(make, tokens, tmp_path):
    model = make()
    table = LearnedPositions(32, 32, std=0.5)
    assert swap(model, table).base_model.milepost is table
    with pytest.raises(SwapRefused, match="no spec"):
        model.save_pretrained(tmp_path)


def alibi_reference(model, tokens, mask, causal):
    """GPT-2's or BERT's first attention under ALiBi, in loops and float64 (Press et al. 2022, section 3)."""
    heads, dim = 4, 8
    captured = {}
    base = model.base_model
    block = base.h[0].attn if causal else base.encoder.layer[0].attention.self

    def catch(module, args, kwargs):
        captured["x"] = (args[0] if args else kwargs["hidden_states"]).double().numpy()

    handle = block.register_forward_pre_hook(catch, with_kwargs=True)
    with torch.no_grad():
        out = {}
        end = block.register_forward_hook(lambda m, a, o: out.update(y=o[0]))
        model(tokens, attention_mask=mask)
    handle.remove(), end.remove()
    x = captured["x"]
    if causal:
        fused = (
            x @ block.c_attn.weight.detach().double().numpy() + block.c_attn.bias.detach().double().numpy()
        )
        q, k, v = np.split(fused, 3, -1)
    else:
        q, k, v = (
            x @ part.weight.detach().double().numpy().T + part.bias.detach().double().numpy()
            for part in (block.query, block.key, block.value)
        )
    batch, seq, _ = x.shape
    result = np.zeros((batch, seq, heads * dim))
    for b in range(batch):
        for h in range(heads):
            slope = 2.0 ** (-8.0 * (h + 1) / heads)
            part = slice(h * dim, (h + 1) * dim)
            for i in range(seq):
                seen = [j for j in range(seq) if mask[b, j] and (j <= i or not causal)]
                if not seen:
                    continue
                scores = np.array(
                    [q[b, i, part] @ k[b, j, part] / np.sqrt(dim) - slope * abs(i - j) for j in seen]
                )
                weights = np.exp(scores - scores.max())
                result[b, i, part] = (weights / weights.sum()) @ v[b, seen, part]
    if causal:
        result = (
            result @ block.c_proj.weight.detach().double().numpy()
            + block.c_proj.bias.detach().double().numpy()
        )
    return result, out["y"].double().numpy()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_alibi_equals_the_paper_in_float64(make, tokens, attention):
    model = swap(make(attention=attention), "alibi")
    mask = (torch.arange(12) >= torch.tensor([[0], [3], [7]])).long()  # left pads
    wanted, got = alibi_reference(model, tokens, mask, causal=type(model) is GPT2LMHeadModel)
    real = mask.bool().numpy()
    np.testing.assert_allclose(got[real], wanted[real], atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision_stays_finite_where_rows_are_fully_masked(make, tokens, encoding, attention, dtype):
    model = swap(make(attention=attention), encoding).to(dtype)
    mask = (torch.arange(12) >= torch.tensor([[0], [5], [12]])).long()
    out = model(tokens, attention_mask=mask).logits
    assert out.dtype == dtype and out.isfinite().all()
    out.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
