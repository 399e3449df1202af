"""Generation: with a cache, without one, padded, alone, in beams."""

import pytest
import torch
from transformers import DynamicCache, StaticCache

from milepost.encodings import registered
from milepost.errors import PastTheEnd, SwapRefused
from milepost.models import swap

UNLIMITED = (
    "sinusoidal",
    "none",
    "rotary",
    "alibi",
    "t5",
    "shaw",
    "fire(threshold=4)",
    "learned(past=clamp)",
)


def put(model, encoding):
    swap(model, encoding)
    for parameter in model.base_model.milepost.parameters():
        parameter.data.normal_(std=0.5, generator=torch.Generator().manual_seed(2))
    return model


def write(model, tokens, **options):
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "output_logits": True} | options
    out = model.generate(tokens, return_dict_in_generate=True, **options)
    return out.sequences[:, tokens.shape[1] :], torch.stack(out.logits, 1)


def refuses_a_cache(encoding, run):
    """Whether this encoding places a text by its whole length; then ``run`` must end in an error."""
    if needs_whole := registered()[encoding].needs_whole:
        with pytest.raises(SwapRefused, match=r"\[MP121\].*cache"):
            run()
    return needs_whole


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_with_cache_without_cache_static_cache_padded_and_alone_agree(make_gpt2, tokens, encoding, attention):
    model = put(make_gpt2(attention=attention), encoding)
    wanted, scores = write(model, tokens, use_cache=False)
    if refuses_a_cache(encoding, lambda: write(model, tokens)):
        return
    mask = torch.cat([torch.zeros(3, 4, dtype=torch.int64), torch.ones_like(tokens)], 1)
    padded = torch.cat([torch.zeros(3, 4, dtype=torch.int64), tokens], 1)
    uneven = mask.clone()
    uneven[0, 4:7] = 0  # the first prompt is shorter
    ways = {
        "dynamic": write(model, tokens),
        "static": write(model, tokens, cache_implementation="static", disable_compile=True),
        "padded": write(model, padded, attention_mask=mask),
        "padded, static": write(
            model, padded, attention_mask=mask, cache_implementation="static", disable_compile=True
        ),
        "padded, no cache": write(model, padded, attention_mask=mask, use_cache=False),
    }
    for name, (sequences, logits) in ways.items():
        assert torch.equal(sequences, wanted), name
        torch.testing.assert_close(logits, scores, atol=2e-5, rtol=1e-4, msg=name)
    sequences, _ = write(model, padded, attention_mask=uneven)
    assert torch.equal(sequences[1:], wanted[1:])
    assert torch.equal(sequences[:1], write(model, tokens[:1, 3:])[0])


def test_beams_with_and_without_cache_agree(make_gpt2, tokens, encoding):
    model = put(make_gpt2(), encoding)
    options = {"num_beams": 3, "output_logits": False, "max_new_tokens": 6}

    def generate(use):
        return model.generate(tokens, do_sample=False, pad_token_id=0, use_cache=use, **options)

    if not refuses_a_cache(encoding, lambda: generate(True)):
        assert torch.equal(generate(True), generate(False))


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_prompt_in_chunks_equals_the_prompt_at_once(make_gpt2, tokens, encoding, kind, cached):
    model = put(make_gpt2(), encoding)
    cache = DynamicCache() if kind == "dynamic" else StaticCache(model.config, max_cache_len=20)

    def chunks():
        parts = ((0, 5), (5, 6), (6, 12))
        return torch.cat([model(tokens[:, a:b], **cached(model, cache)).logits for a, b in parts], 1)

    with torch.no_grad():
        if not refuses_a_cache(encoding, chunks):
            torch.testing.assert_close(chunks(), model(tokens).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_without_position_ids_a_cache_and_left_pads_agree(make_gpt2, tokens, padded, cached):
    model = put(make_gpt2(), "learned")
    pads = 4 if padded else 0
    mask = torch.cat([torch.zeros(3, pads, dtype=torch.int64), torch.ones_like(tokens)], 1)
    longer = torch.cat([torch.zeros(3, pads, dtype=torch.int64), tokens], 1)
    cache, parts = DynamicCache(), []
    with torch.no_grad():
        for a, b in ((0, pads + 7), (pads + 7, pads + 8), (pads + 8, pads + 12)):
            out = model(longer[:, a:b], attention_mask=mask[:, :b], **cached(model, cache))
            parts.append(out.logits)
        whole = model(tokens).logits
    torch.testing.assert_close(torch.cat(parts, 1)[:, pads:], whole, atol=1e-5, rtol=1e-5)


def test_past_the_end_in_the_middle_of_generation(make_gpt2, tokens):
    model = put(make_gpt2(), "learned")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(PastTheEnd, match="position 32 is past the end"):
        write(model, tokens, max_new_tokens=40)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(*(write(model, tokens, use_cache=use)[0] for use in (True, False)))


@pytest.mark.parametrize("encoding", UNLIMITED)
def test_encodings_without_a_limit_write_past_the_old_one(make_gpt2, tokens, encoding):
    sequences, logits = write(put(make_gpt2(), encoding), tokens, max_new_tokens=40)
    assert sequences.shape[1] == 40 and logits.isfinite().all()


def test_a_bert_decoder_agrees_with_its_cache(make_bert, tokens):
    from transformers import BertLMHeadModel

    for encoding in ("learned", *UNLIMITED):
        model = make_bert(is_decoder=True)
        torch.manual_seed(0)
        model = put(BertLMHeadModel(model.config).eval(), encoding)
        results = [write(model, tokens, use_cache=use, max_new_tokens=6) for use in (True, False)]
        assert torch.equal(results[0][0], results[1][0]), encoding
        torch.testing.assert_close(results[0][1], results[1][1], atol=2e-5, rtol=1e-4)
