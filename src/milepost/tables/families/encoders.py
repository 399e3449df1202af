"""Encoders of text."""

from __future__ import annotations

from milepost.tables.families.shorthand import POSITION_IDS, after_pad, bert_like, boxes, image, names, text
from milepost.tables.family import Family, Part, Variant

ENCODERS: tuple[Family, ...] = (
    # encoders of text whose positions count from row 0
    Family(
        "bert",
        names(
            "bert ernie bert-generation megatron-bert mobilebert squeezebert splinter fnet roc_bert "
            "electra albert rembert convbert big_bird dpr chinese_clip_text_model "
            "align_text_model blip_text_model flava_text_model"
        ),
        (text(),),
        buffers=POSITION_IDS,
        variants=(
            Variant("albert", dim_field="embedding_size"),
            Variant("electra", dim_field="embedding_size"),
            Variant("convbert", dim_field="embedding_size"),
            Variant("rembert", dim_field="input_embedding_size"),
            Variant("big_bird", cuts="blocks"),
        ),
        stacks=(
            bert_like("bert", "Bert"),
            bert_like("electra", "Electra"),
            bert_like("albert", "Albert", attention=("AlbertAttention",), cross_attention=(), causal="never"),
            bert_like("convbert", "ConvBert", causal="never", interface=False, keeps="convolutions"),
        ),
    ),
    # reads instructions through a tokenizer of its own, so its length is not the language model's
    Family("qformer", ("instructblip_qformer",), (text(role="query"),), buffers=POSITION_IDS),
    Family("layoutlm", ("layoutlm",), (text(), *boxes()), buffers=POSITION_IDS),
    Family(
        "distilbert",
        ("distilbert",),
        (text(fixed_if="sinusoidal_pos_embds", waves="interleaved"),),
        buffers=POSITION_IDS,
        stacks=(bert_like("distilbert", "DistilBert", causal="never", limits=(), zeros=()),),
    ),
    Family("bros", ("bros",), (text(),), buffers=POSITION_IDS),
    Family("tapas", ("tapas",), (text(),), clamps=True),
    Family("lxmert", ("lxmert",), (text(padding_row=0),)),
    Family(
        "visual_bert",
        ("visual_bert",),
        (text(), text("embeddings.visual_position_embeddings.weight", "vision")),
    ),
    Family(
        "git",
        ("git",),
        (text(),),
        (Part("vision_config", ("image_encoder.",), "git_vision_model"),),
        buffers=POSITION_IDS,
    ),
    Family(
        "vilt", ("vilt",), (text("text_embeddings.position_embeddings.weight"), image()), buffers=POSITION_IDS
    ),
    Family(
        "deberta",
        names("deberta deberta-v2"),
        (text(optional=True, present_if=("position_biased_input", True, True)),),
        positions_by="relative_bias",
        buffers=POSITION_IDS,
    ),
    Family(
        "canine",
        ("canine",),
        (
            text(
                "char_embeddings.char_position_embeddings.weight",
                field="num_hash_buckets",
                resizable=False,
                alone=True,
            ),
        ),
    ),
    Family(
        "xlm",
        names("xlm flaubert"),
        (text("position_embeddings.weight", fixed_if="sinusoidal_embeddings", waves="interleaved"),),
        buffers=POSITION_IDS,
    ),
    # encoders of text whose positions count from the row after the pad's
    Family(
        "roberta",
        names(
            "roberta xlm-roberta camembert roberta-prelayernorm data2vec-text xmod xlm-roberta-xl "
            "clap_text_model altclip_text_model bridgetower_text_model"
        ),
        (after_pad(),),
        pad_token_id=1,
        buffers=POSITION_IDS,
        stacks=(
            bert_like("roberta", "Roberta"),
            bert_like("xlm-roberta", "XLMRoberta"),
            bert_like("camembert", "Camembert"),
        ),
    ),
    Family(
        "ibert",
        ("ibert",),
        (after_pad(),),
        pad_token_id=1,
        buffers=(*POSITION_IDS, "embeddings.position_embeddings.weight_integer"),
    ),
    Family(
        "longformer", ("longformer",), (after_pad(),), pad_token_id=1, config_fields=("attention_window",)
    ),
    Family(
        "esm",
        ("esm",),
        (after_pad(optional=True, present_if=("position_embedding_type", "absolute", "absolute")),),
        positions_by="rotary",
        buffers=POSITION_IDS,
        stacks=(bert_like("esm", "Esm", limits=(), zeros=(), embeds=False),),
    ),
    Family("markuplm", ("markuplm",), (after_pad(),), pad_token_id=0, buffers=POSITION_IDS),
    Family(
        "mpnet",
        ("mpnet",),
        (text(first_row=2, padding_row=1),),
        buffers=POSITION_IDS,
        stacks=(
            bert_like(
                "mpnet",
                "MPNet",
                causal="never",
                limits=(),
                zeros=(),
                interface=False,
                keeps="a bucketed bias of its own in attention",
            ),
        ),
    ),
    Family(
        "luke",
        names("luke mluke"),
        (after_pad(), text("entity_embeddings.position_embeddings.weight", "entity")),
        pad_token_id=1,
        buffers=POSITION_IDS,
    ),
    Family(
        "layoutlmv3",
        ("layoutlmv3",),
        (after_pad(), *boxes(), image("pos_embed", field="input_size")),
        pad_token_id=1,
        buffers=POSITION_IDS,
    ),
    Family(
        "lilt",
        ("lilt",),
        (
            after_pad(),
            after_pad("layout_embeddings.box_position_embeddings.weight", "layout"),
            *boxes("layout_embeddings."),
        ),
        pad_token_id=0,
        buffers=POSITION_IDS,
    ),
    Family(
        "nystromformer",
        names("nystromformer yoso mra"),
        (text(extra_rows=2, first_row=2),),
        buffers=POSITION_IDS,
        variants=(Variant("nystromformer", cuts="segments"),),
    ),
)
