"""Where families count differently: rows before the first, pads, embeddings as input, buffers, ends."""

import copy
import importlib
import sys
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, RobertaConfig, RobertaForCausalLM, StaticCache

from milepost.errors import PastTheEnd
from milepost.models import geometry, load, swap
from milepost.models.families import find_bases

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
matrix = importlib.import_module("family_matrix")
sys.path.pop(0)
SUBJECTS = matrix.SUBJECTS
AFTER_PAD = ["roberta", "xlm-roberta", "camembert", "esm", "mpnet"]


def answer(model, *args, **inputs):
    with torch.no_grad():
        return model(*args, **inputs).logits


# ---- first rows


@pytest.mark.parametrize(
    ("family", "options", "first_row", "usable"),
    [
        ("bert", {}, 0, 40),
        ("roberta", {"pad_token_id": 1}, 2, 38),
        ("camembert", {"pad_token_id": 3}, 4, 36),
        ("xlm-roberta", {"pad_token_id": 0}, 1, 39),
        ("mpnet", {"pad_token_id": 5}, 2, 38),  # whatever the config says
        ("opt", {}, 2, 40),
        ("biogpt", {}, 2, 40),
        ("bart", {}, 2, 40),
        ("whisper", {}, 0, 40),
        ("clip_text_model", {}, 0, 40),
        ("deit", {}, 0, 18),
    ],
)
def test_rows_before_the_first_are_no_positions(family, options, first_row, usable):
    model = SUBJECTS[family].build(**options)
    (base, row), *_ = find_bases(model)
    table = base.state_dict()[row.table if row.prefix is not None else f"{row.table}.weight"]
    table = table.reshape(-1, table.shape[-1]).clone()
    assert geometry(model).max_len == usable and len(table) == first_row + usable
    assert torch.equal(swap(model, "learned") and base.milepost.weight, table[first_row:])


@pytest.mark.parametrize("family", ["roberta", "opt", "bart", "whisper", "gpt_neo"])
def test_the_config_says_the_new_length_as_the_family_counts_it(family, tmp_path):
    model = swap(SUBJECTS[family].build(), "learned", max_len=20)
    model.save_pretrained(tmp_path)
    assert geometry(load(tmp_path)).max_len == 20
    again = SUBJECTS[family].build()
    field = find_bases(again)[0][1].length
    extra = geometry(again).max_len - getattr(again.config, field)
    assert getattr(model.config, field) == 20 - extra


# ---- pads


@pytest.mark.parametrize("family", AFTER_PAD)
def test_a_pad_id_in_mid_sequence_is_counted_as_the_family_counts_it(family):
    subject = SUBJECTS[family]
    ids = matrix.tokens(subject.pad)[:1]
    ids[0, 4] = subject.pad
    stock = subject.build()
    swapped = swap(copy.deepcopy(stock), "learned")
    whole = answer(swapped, ids)
    assert torch.equal(whole, answer(stock, ids))
    pads = torch.full((1, 3), subject.pad)
    mask = torch.cat([torch.zeros(1, 3), torch.ones(1, 12)], 1).long()
    padded = answer(swapped, torch.cat([pads, ids], 1), attention_mask=mask)
    torch.testing.assert_close(padded[:, 3:], whole, atol=2e-5, rtol=1e-5)


def test_a_token_that_has_the_pads_id_can_be_given_its_position():
    model = swap(SUBJECTS["roberta"].build(), "learned")
    ids = matrix.tokens(1)[:1]
    other = ids.clone()
    other[0, 4] = 1
    rows = torch.arange(2, 14)[None]
    read = []
    hook = model.roberta.embeddings.position_embeddings.register_forward_hook(
        lambda m, a, out: read.append(out)
    )
    answer(model, ids)
    answer(model, other, position_ids=rows)
    answer(model, other)
    hook.remove()
    assert torch.equal(read[0].expand_as(read[1]), read[1])
    assert not read[2][0, 4].any() and torch.equal(read[2][0, 5], read[0].reshape(-1, 32)[4])


@pytest.mark.parametrize("family", ["roberta", "camembert", "mpnet"])
def test_embeddings_as_input_follow_the_mask_behind_left_pads(family):
    subject = SUBJECTS[family]
    stock, ids = subject.build(), matrix.tokens(subject.pad)[:1]
    swapped = swap(copy.deepcopy(stock), "learned")
    alone = answer(swapped, ids)
    padded = torch.cat([torch.full((1, 3), subject.pad), ids], 1)
    mask = torch.cat([torch.zeros(1, 3), torch.ones(1, 12)], 1).long()
    embeds = stock.get_input_embeddings()(padded)
    found = answer(swapped, inputs_embeds=embeds, attention_mask=mask)[:, 3:]
    torch.testing.assert_close(found, alone, atol=2e-5, rtol=1e-5)
    assert (answer(stock, inputs_embeds=embeds, attention_mask=mask)[:, 3:] - alone).abs().max() > 0.01
    unpadded = stock.get_input_embeddings()(ids)
    assert torch.equal(answer(swapped, inputs_embeds=unpadded), answer(stock, inputs_embeds=unpadded))


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "albert", "gpt_neo", "biogpt", "gpt2"])
def test_left_pads_shift_the_stock_model_and_not_the_swapped_one(family):
    subject = SUBJECTS[family]
    stock, ids = subject.build(), matrix.tokens(subject.pad)[:1]
    swapped = swap(copy.deepcopy(stock), "learned")
    padded = torch.cat([torch.full((1, 3), subject.pad), ids], 1)
    mask = torch.cat([torch.zeros(1, 3), torch.ones(1, 12)], 1).long()
    alone = answer(stock, ids)
    torch.testing.assert_close(
        answer(swapped, padded, attention_mask=mask)[:, 3:], alone, atol=2e-5, rtol=1e-5
    )
    assert (answer(stock, padded, attention_mask=mask)[:, 3:] - alone).abs().max() > 0.01
    kept = swap(copy.deepcopy(stock), "learned", positions="stock")
    assert torch.equal(answer(kept, padded, attention_mask=mask), answer(stock, padded, attention_mask=mask))


def test_a_roberta_decoder_counts_no_pads_in_its_cache():
    torch.manual_seed(0)
    options = {**matrix.SMALL, **matrix.NO_DROPOUT, "pad_token_id": 1, "is_decoder": True}
    stock = RobertaForCausalLM(RobertaConfig(**options)).eval()
    swapped, ids = swap(copy.deepcopy(stock), "learned"), matrix.tokens(1)[:1]
    padded = torch.cat([torch.ones(1, 3, dtype=torch.int64), ids], 1)
    mask = torch.cat([torch.zeros(1, 3), torch.ones(1, 12)], 1).long()

    def in_steps(model):
        cache, parts = DynamicCache(config=model.config), []
        for start, stop in ((0, 10), (10, 11), (11, 15)):
            inputs = {"attention_mask": mask[:, :stop], **matrix.cached(model, cache)}
            parts.append(answer(model, padded[:, start:stop], **inputs))
        return torch.cat(parts, 1)[:, 3:]

    alone = answer(stock, ids)
    torch.testing.assert_close(in_steps(swapped), alone, atol=2e-5, rtol=1e-5)
    assert (in_steps(stock)[:, 7:] - alone[:, 7:]).abs().max() > 0.01


# ---- caches that forget, and caches of a fixed size


@pytest.mark.parametrize("family", ["mistral", "qwen2"])
@pytest.mark.parametrize("encoding", ["rotary", "alibi", "t5", "fire", "learned"])
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_sliding_cache_that_has_forgotten_keys_knows_where_the_others_are(family, encoding, kind):
    case = matrix.Case(family, encoding)
    model = case.swapped()
    ids = torch.cat([matrix.tokens(0), matrix.tokens(0).flip(1)], 1)  # four windows long
    whole = answer(model, ids)
    cache = (
        StaticCache(model.config, max_cache_len=26) if kind == "static" else DynamicCache(config=model.config)
    )
    chunks = ((0, 4), (4, 13), (13, 14), (14, 15), (15, 20), (20, 24))
    parts = [answer(model, ids[:, a:b], **matrix.cached(model, cache)) for a, b in chunks]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=2e-5, rtol=1e-5)


# ---- buffers and ends


@pytest.mark.parametrize(
    "family", ["roberta", "camembert", "mpnet", "distilbert", "electra", "albert", "convbert", "esm", "opt",
               "biogpt", "clip_text_model", "whisper", "bart"],
)  # fmt: skip
def test_no_buffer_of_the_old_length_is_in_the_way(family):
    subject = SUBJECTS[family]
    ids = torch.randint(4, 48, (2, 60), generator=torch.Generator().manual_seed(0))
    model = swap(subject.build(), "sinusoidal")
    with torch.no_grad():
        assert matrix.run(model, subject, ids).isfinite().all()


@pytest.mark.parametrize(
    "family", [*AFTER_PAD, "distilbert", "opt", "bart", "whisper", "clip_text_model", "llama"]
)
def test_past_the_end_is_one_readable_error(family):
    subject = SUBJECTS[family]
    ids = torch.randint(6, 48, (2, 60), generator=torch.Generator().manual_seed(0))
    model = swap(subject.build(), "learned")
    with pytest.raises(PastTheEnd, match=r"\[MP101\] position 59 is past the end"):
        matrix.run(model, subject, ids)
    with torch.no_grad():  # and nothing of it is left
        wanted = matrix.run(swap(subject.build(), "learned"), subject)
        assert torch.equal(matrix.run(model, subject), wanted)


def test_a_causal_mask_that_ends_is_named():
    model = swap(SUBJECTS["gpt_neo"].build(), "sinusoidal")
    with pytest.raises(PastTheEnd, match="causal mask"):
        model(torch.ones(1, 60, dtype=torch.int64))


def test_layers_outside_of_the_parts_keep_their_attention():
    model = SUBJECTS["whisper"].build()
    features = torch.randn(1, 8, 20)
    with torch.no_grad():
        wanted = model.get_encoder()(features).last_hidden_state
        assert torch.equal(swap(model, "rotary").get_encoder()(features).last_hidden_state, wanted)


@pytest.mark.parametrize("encoding", ["rotary", "learned"])
@pytest.mark.parametrize("part", ["text_model", "vision_model"])
def test_each_half_of_clip_can_be_swapped(part, encoding):
    from transformers import CLIPConfig, CLIPModel

    text = {**matrix.SMALL, "eos_token_id": 49, "pad_token_id": 1}
    vision = {**matrix.SMALL, **matrix.IMAGE}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    inputs = {"input_ids": matrix.tokens(1), "pixel_values": matrix.pixels()}
    with torch.no_grad():
        wanted = model(**inputs).logits_per_text
        swap(getattr(model, part), encoding)
        assert torch.equal(model(**inputs).logits_per_text, wanted) == (encoding == "learned")
