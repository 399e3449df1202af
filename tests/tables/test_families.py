"""The rows of data against the models themselves: tiny ones of each family, built by transformers and saved."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from milepost.errors import DataError, UnknownFamily
from milepost.tables import family_of, read, recognise

SHARED = Path(__file__).parents[3] / "shared" / "families.csv"
PAD = 3  # not the usual 1, so that "pad + 1" and "2" are told apart
LENGTH = 8

# What makes any of these models small; each configuration takes the names it knows.
TINY = dict(  # noqa: C408
    vocab_size=30, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, embedding_size=24,
    max_position_embeddings=20, type_vocab_size=2, pad_token_id=PAD, bos_token_id=0, eos_token_id=2, d_model=16,
    encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
    decoder_ffn_dim=16, n_embd=16, n_layer=1, n_head=2, n_positions=20, num_layers=1, ffn_dim=16, dim=16, n_layers=1,
    n_heads=2, hidden_dim=16, emb_dim=16, n_words=30, attention_types=[[["global"], 1]], image_size=[16, 32],
    patch_size=8, word_embed_proj_dim=24, attention_window=4, projection_dim=16, max_source_positions=16,
    max_target_positions=12, num_mel_bins=16, max_encoder_position_embeddings=24, max_decoder_position_embeddings=12,
    num_encoder_layers=1, num_decoder_layers=1, entity_vocab_size=5, entity_emb_size=8, input_size=32,
    num_encoder_attention_heads=2, num_decoder_attention_heads=2, max_2d_position_embeddings=1024, coordinate_size=4,
    shape_size=4, true_hidden_size=24, max_length=32, num_frames=4, tubelet_size=[2, 8, 8],
    decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=16,
    num_detection_tokens=5, num_landmarks=2, segment_means_seq_len=LENGTH, max_ep_len=9, src_vocab_size=30, tgt_vocab_size=30,
    languages=["en_XX"], default_language="en_XX", num_hash_buckets=20,
)  # fmt: skip

TYPES = """albert audio-spectrogram-transformer bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot
blenderbot-small bros camembert canine convbert data2vec-text deberta deberta-v2 decision_transformer deit dinov2
dinov2_with_registers distilbert electra ernie esm fnet gpt2 gpt_bigcode gpt_neo ibert ijepa imagegpt layoutlm
layoutlmv3 led lilt longformer luke lxmert markuplm mbart megatron-bert mobilebert mpnet mra mvp nystromformer
openai-gpt opt plbart prophetnet rembert roberta roberta-prelayernorm roc_bert splinter squeezebert tapas timesformer
visual_bert vit vit_mae vit_msn vivit whisper xlm xlm-roberta xlm-roberta-xl xmod yolos yoso
clip_text_model clip_vision_model siglip_vision_model"""
NOT_RUN = {  # they want more than one input of text or pixels; keys and rows are checked all the same
    "bros", "lxmert", "decision_transformer", "audio-spectrogram-transformer", "whisper", "timesformer", "vivit",
    "vit_mae",
}  # fmt: skip


SQUARE = {"clip_vision_model", "siglip_vision_model", "dinov2", "dinov2_with_registers"}


def build(model_type):
    kind = CONFIG_MAPPING[model_type]
    names = set(kind.__dataclass_fields__) | set(kind.attribute_map)
    settings = {name: value for name, value in TINY.items() if name in names}
    if model_type in SQUARE:
        settings["image_size"] = 32
    torch.manual_seed(0)
    return AutoModel.from_config(kind(**settings)).eval()


def rows_that_learn(model, key):
    """The rows of a table that a forward pass over positions 0, 1, ... gives a gradient."""
    parameters = [
        value for name, value in model.named_parameters() if key == name or key.endswith("." + name)
    ]
    assert len(parameters) == 1, key
    gradient = parameters[0].grad
    if gradient is None:
        return None
    return gradient.reshape(-1, gradient.shape[-1]).abs().sum(1).nonzero().flatten().tolist()


def run(model):
    ids = torch.arange(5, 5 + LENGTH)[None]
    if model.main_input_name == "input_ids":
        inputs = {"input_ids": ids}
    else:
        height, width = np.broadcast_to(model.config.image_size, 2)
        inputs = {"pixel_values": torch.randn(1, 3, height, width)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    outputs = [
        value for value in model(**inputs).to_tuple() if torch.is_tensor(value) and value.requires_grad
    ]
    sum((value * torch.randn_like(value)).sum() for value in outputs).backward()


@pytest.mark.parametrize("model_type", TYPES.split())
@pytest.mark.filterwarnings("ignore")
def test_table_of_a_real_model_is_found_and_its_first_row_is_where_the_model_starts(model_type, tmp_path):
    model = build(model_type)
    model.save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    stored = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    assert checkpoint.tables
    for table in checkpoint.tables:
        name = next(name for name in stored if table.key == name or table.key.endswith("." + name))
        np.testing.assert_array_equal(table.rows, stored[name].reshape(-1, stored[name].shape[-1]))
        assert table.expected_rows == len(table.rows)
        assert (table.kind == "patches") <= (table.grid is not None)
    if model_type in NOT_RUN:
        return
    run(model)
    seen = {table.key: rows_that_learn(model, table.key) for table in checkpoint.tables}
    assert any(seen.values())
    for table in checkpoint.tables:
        if table.role == "layout" or seen[table.key] is None:
            continue
        wanted = range(table.first_row, table.first_row + (LENGTH if table.grid is None else len(table.rows)))
        # ProphetNet's decoder looks one position further
        assert seen[table.key][: len(wanted)] == list(wanted)


@pytest.mark.filterwarnings("ignore")
def test_this_comparison_can_fail():
    model = build("roberta")
    run(model)
    assert rows_that_learn(model, "embeddings.position_embeddings.weight") == list(
        range(PAD + 1, PAD + 1 + LENGTH)
    )


# YOLOS' is resized with the first, X-CLIP's counts frames
SKIPPED_TABLES = ("mid_position", "mit.position")


def survey():
    if not SHARED.exists():
        return []
    with SHARED.open() as file:
        found = [
            row for row in csv.DictReader(file) if family_of(row["model_type"]) and row["first_real_row"]
        ]
    return [row for row in found if row["method"].startswith("instantiated")]


@pytest.mark.skipif(not SHARED.exists(), reason="the survey of families lies beside the project, not in it")
@pytest.mark.filterwarnings("ignore")
def test_families_agree_with_the_survey_of_all_models():
    rows, wrong = survey(), []
    for row in rows:
        model_type, key = row["model_type"], row["table_path"]
        if row["form"] != "nn.Parameter":
            key += ".weight"
        if any(part in key for part in SKIPPED_TABLES):
            continue
        config = CONFIG_MAPPING[model_type]().to_dict()
        if model_type == "esm":
            config["pad_token_id"] = 1
        try:
            match = next(match for match in recognise(config, [key])[2] if match.key == key)
        except (StopIteration, UnknownFamily, DataError) as error:
            wrong.append((model_type, key, type(error).__name__, str(error)))
            continue
        got = match.expected_rows(), match.first_row()
        if got != (int(row["rows"]), int(row["first_real_row"])):
            wrong.append((model_type, key, got, row["rows"], row["first_real_row"]))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(rows) > 150


def key(model_type, **config):
    return {"model_type": model_type, **config}


@pytest.mark.parametrize(
    ("config", "order"),
    [
        (key("llama"), "rotary"),
        (key("modernbert"), "rotary"),
        (key("bloom"), "alibi"),
        (key("falcon"), "rotary"),
        (key("falcon", alibi=True), "alibi"),
        (key("t5"), "relative_bias"),
        (key("deberta-v2"), "relative_bias"),
        (key("esm"), "rotary"),
        (key("mamba"), "none"),
        (key("m2m_100"), "fixed_sinusoid"),
        (key("llava", text_config=key("llama"), vision_config=key("clip_vision_model")), "rotary"),
    ],
)
def test_model_without_a_table_is_known_for_what_it_has(config, order):
    assert recognise(config, ["model.layers.0.weight"])[1:] == (order, [])


def test_image_tower_of_a_language_model_is_found_under_its_prefix():
    vision = key("clip_vision_model", image_size=28, patch_size=14)
    keys = [
        "model.vision_tower.vision_model.embeddings.position_embedding.weight",
        "model.language_model.layers.0.weight",
    ]
    _, order, (match,) = recognise(key("llava", text_config=key("llama"), vision_config=vision), keys)
    assert (order, match.key, match.grid(), match.form.prefix_rows) == ("rotary", keys[0], (2, 2), 1)
    assert match.length_field() == "vision_config.image_size"


def test_look_alike_names_are_not_taken():
    keys = ["bert.embeddings.position_embeddings.weight", "bert.xembeddings.position_embeddings.weight",
            "bert.embeddings.position_embeddings.weight_scale", "bert.embeddings.word_embeddings.weight"]  # fmt: skip
    assert [match.key for match in recognise(key("bert"), keys)[2]] == keys[:1]


def test_flag_for_sinusoids_makes_a_stored_table_a_fixed_one():
    keys = ["distilbert.embeddings.position_embeddings.weight"]
    _, order, (match,) = recognise(key("distilbert", sinusoidal_pos_embds=True), keys)
    assert (order, match.form.kind) == ("fixed_sinusoid", "fixed_sinusoid")


@pytest.mark.parametrize("config", [key("brand_new"), key(7), key(["bert"]), key("clip"), key("bert")])
def test_unknown_family_says_what_it_looked_for_and_offers_a_way(config):
    with pytest.raises(UnknownFamily) as caught:
        recognise(config, ["encoder.pos_table"])
    assert "--tensor KEY --first-row N" in caught.value.fix
    assert "encoder.pos_table" in caught.value.got
    assert "looked for" in caught.value.problem


def test_without_a_configuration_only_names_of_one_meaning_are_taken():
    assert recognise({}, ["transformer.wpe.weight"])[2][0].first_row() == 0
    with pytest.raises(UnknownFamily, match="families differ"):
        recognise({}, ["bert.embeddings.position_embeddings.weight"])
    with pytest.raises(UnknownFamily):
        recognise({}, ["transformer.wpe.weight", "roberta.embeddings.position_embeddings.weight"])


def test_missing_padding_token_is_asked_for():
    match = recognise(key("esm"), ["esm.embeddings.position_embeddings.weight"])[2][0]
    with pytest.raises(DataError, match="padding token"):
        match.first_row()


def test_timm_and_open_clip_are_read_by_their_own_configurations():
    timm = {"architecture": "vit_base_patch16_224.augreg", "pretrained_cfg": {"input_size": [3, 32, 64]}}
    _, _, (match,) = recognise(timm, ["pos_embed", "cls_token"])
    assert (match.grid(), match.expected_rows()) == ((2, 4), 9)
    with pytest.raises(UnknownFamily):
        recognise({**timm, "architecture": "deit3_base_patch16_224"}, ["pos_embed", "cls_token"])
    with pytest.raises(UnknownFamily):
        recognise(timm, ["pos_embed", "cls_token", "reg_token"])
    clip = {
        "model_cfg": {"vision_cfg": {"image_size": 32, "patch_size": 16}, "text_cfg": {"context_length": 77}}
    }
    text, image = recognise(clip, ["positional_embedding", "visual.positional_embedding"])[2]
    assert (text.key, text.expected_rows(), image.expected_rows()) == ("positional_embedding", 77, 5)
