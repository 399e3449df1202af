"""Model families as data: which tensor is the position table, where position 0 lies, what shares its length.

One row a family; a new one needs a row in ``docs/families-of-tables.md`` too. Facts were read in the model
code of transformers 5.23 and checked against tiny models built from it (``tests/tables/test_families.py``).
"""

from __future__ import annotations

from dataclasses import replace

from milepost.tables.family import Family, Part, TableForm

_BERT_KEY = "embeddings.position_embeddings.weight"
_CLIP_KEY = "embeddings.position_embedding.weight"
_BART_KEY = "embed_positions.weight"
_VIT_KEY = "embeddings.position_embeddings"
_POSITION_IDS = ("position_ids",)


def _text(suffix: str = _BERT_KEY, role: str = "text", **more: object) -> TableForm:
    return TableForm(suffix, role, **more)  # type: ignore[arg-type]


def _after_pad(suffix: str = _BERT_KEY, role: str = "text", **more: object) -> TableForm:
    return _text(suffix, role, first_row="pad+1", padding_row="pad", **more)


def _both(field: str = "max_position_embeddings", **more: object) -> tuple[TableForm, ...]:
    return tuple(_text(f"{side}.{_BART_KEY}", side, field=field, **more) for side in ("encoder", "decoder"))


def _boxes(prefix: str = "embeddings.") -> tuple[TableForm, ...]:
    return tuple(
        _text(
            f"{prefix}{axis}_position_embeddings.weight",
            "layout",
            field="max_2d_position_embeddings",
            resizable=False,
        )
        for axis in "xyhw"
    )


def _image(suffix: str = _VIT_KEY, prefix_rows: int = 1, **more: object) -> TableForm:
    settings: dict[str, object] = {"role": "vision", "kind": "patches", "field": "image_size", **more}
    return TableForm(suffix, prefix_rows=prefix_rows, **settings)  # type: ignore[arg-type]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_TEXT = Part("text_config", ("language_model.", "text_model."))
_VISION = Part("vision_config", ("vision_tower.", "vision_model.", "visual."))
_BLIP_VISION = Part("vision_config", ("vision_model.",), "blip_2_vision_model")
_BACKBONE = Part("backbone_config", ("backbone.",))


def _towers(text: str, vision: str) -> tuple[Part, ...]:
    return (
        Part("text_config", ("text_model.",), text),
        Part("vision_config", ("vision_model.",), vision),
    )


FAMILIES: tuple[Family, ...] = (
    # encoders of text whose positions count from row 0
    Family(
        "bert",
        _names(
            "bert ernie bert-generation megatron-bert mobilebert squeezebert splinter fnet roc_bert "
            "electra albert rembert convbert big_bird dpr chinese_clip_text_model "
            "align_text_model blip_text_model flava_text_model"
        ),
        (_text(),),
        buffers=_POSITION_IDS,
    ),
    # reads instructions through a tokenizer of its own, so its length is not the language model's
    Family("qformer", ("instructblip_qformer",), (_text(role="query"),), buffers=_POSITION_IDS),
    Family("layoutlm", ("layoutlm",), (_text(), *_boxes()), buffers=_POSITION_IDS),
    Family(
        "distilbert",
        ("distilbert",),
        (_text(fixed_if="sinusoidal_pos_embds", waves="interleaved"),),
        buffers=_POSITION_IDS,
    ),
    Family("bros", ("bros",), (_text(),), buffers=_POSITION_IDS),
    Family("tapas", ("tapas",), (_text(),), clamps=True),
    Family("lxmert", ("lxmert",), (_text(padding_row=0),)),
    Family(
        "visual_bert",
        ("visual_bert",),
        (_text(), _text("embeddings.visual_position_embeddings.weight", "vision")),
    ),
    Family(
        "git",
        ("git",),
        (_text(),),
        (Part("vision_config", ("image_encoder.",), "git_vision_model"),),
        buffers=_POSITION_IDS,
    ),
    Family(
        "vilt",
        ("vilt",),
        (_text("text_embeddings.position_embeddings.weight"), _image()),
        buffers=_POSITION_IDS,
    ),
    Family(
        "deberta",
        _names("deberta deberta-v2"),
        (_text(optional=True),),
        positions_by="relative_bias",
        buffers=_POSITION_IDS,
    ),
    Family(
        "canine",
        ("canine",),
        (
            _text(
                "char_embeddings.char_position_embeddings.weight",
                field="num_hash_buckets",
                resizable=False,
                alone=True,
            ),
        ),
    ),
    Family(
        "xlm",
        _names("xlm flaubert"),
        (_text("position_embeddings.weight", fixed_if="sinusoidal_embeddings", waves="interleaved"),),
        buffers=_POSITION_IDS,
    ),
    # encoders of text whose positions count from the row after the pad's
    Family(
        "roberta",
        _names(
            "roberta xlm-roberta camembert roberta-prelayernorm data2vec-text xmod xlm-roberta-xl "
            "clap_text_model altclip_text_model bridgetower_text_model"
        ),
        (_after_pad(),),
        pad_token_id=1,
        buffers=_POSITION_IDS,
    ),
    Family(
        "ibert",
        ("ibert",),
        (_after_pad(),),
        pad_token_id=1,
        buffers=(*_POSITION_IDS, "embeddings.position_embeddings.weight_integer"),
    ),
    Family(
        "longformer", ("longformer",), (_after_pad(),), pad_token_id=1, config_fields=("attention_window",)
    ),
    Family("esm", ("esm",), (_after_pad(optional=True),), positions_by="rotary", buffers=_POSITION_IDS),
    Family("markuplm", ("markuplm",), (_after_pad(),), pad_token_id=0, buffers=_POSITION_IDS),
    Family("mpnet", ("mpnet",), (_text(first_row=2, padding_row=1),), buffers=_POSITION_IDS),
    Family(
        "luke",
        _names("luke mluke"),
        (_after_pad(), _text("entity_embeddings.position_embeddings.weight", "entity")),
        pad_token_id=1,
        buffers=_POSITION_IDS,
    ),
    Family(
        "layoutlmv3",
        ("layoutlmv3",),
        (_after_pad(), *_boxes(), _image("pos_embed", field="input_size")),
        pad_token_id=1,
        buffers=_POSITION_IDS,
    ),
    Family(
        "lilt",
        ("lilt",),
        (
            _after_pad(),
            _after_pad("layout_embeddings.box_position_embeddings.weight", "layout"),
            *_boxes("layout_embeddings."),
        ),
        pad_token_id=0,
        buffers=_POSITION_IDS,
    ),
    Family(
        "nystromformer",
        _names("nystromformer yoso mra"),
        (_text(extra_rows=2, first_row=2),),
        buffers=_POSITION_IDS,
    ),
    # decoders of text
    Family(
        "gpt2",
        _names("gpt2 gpt-sw3 gpt_bigcode imagegpt"),
        (_text("wpe.weight", field="n_positions", alone=True),),
        buffers=("attn.bias",),
        config_fields=("n_ctx",),
    ),
    Family("gpt_neo", ("gpt_neo",), (_text("wpe.weight", alone=True),), buffers=("attn.attention.bias",)),
    Family(
        "decision_transformer",
        ("decision_transformer",),
        (
            # its model passes zeros for all positions: time comes from embed_timestep
            _text("encoder.wpe.weight", field="n_positions", resizable=False),
            _text("embed_timestep.weight", "time", field="max_ep_len", resizable=False, optional=True),
        ),
        buffers=("attn.bias",),
    ),
    Family(
        "openai-gpt",
        ("openai-gpt",),
        (_text("positions_embed.weight", field="n_positions", alone=True),),
        buffers=("position_ids", "attn.bias"),
    ),
    Family("opt", ("opt",), (_text(f"decoder.{_BART_KEY}", extra_rows=2, first_row=2),)),
    Family("biogpt", ("biogpt",), (_text(_BART_KEY, extra_rows=2, first_row=2),)),
    # encoder and decoder
    Family("bart", _names("bart mbart plbart mvp"), _both(extra_rows=2, first_row=2)),
    Family("trocr", ("trocr",), (_text(f"decoder.{_BART_KEY}", "decoder", extra_rows=2, first_row=2),)),
    Family("blenderbot", _names("blenderbot blenderbot-small bigbird_pegasus"), _both()),
    Family(
        "led",
        ("led",),
        (
            _text(f"encoder.{_BART_KEY}", "encoder", field="max_encoder_position_embeddings"),
            _text(f"decoder.{_BART_KEY}", "decoder", field="max_decoder_position_embeddings"),
        ),
        config_fields=("attention_window",),
    ),
    Family(
        "prophetnet",
        _names("prophetnet xlm-prophetnet"),
        tuple(_after_pad(f"{side}.position_embeddings.weight", side) for side in ("encoder", "decoder")),
        pad_token_id=0,
        clamps=True,
    ),
    Family(
        "pegasus",
        _names("pegasus marian"),
        _both(kind="fixed_sinusoid", waves="halves", optional=True),
        positions_by="fixed_sinusoid",
        computed="max_position_embeddings",
    ),
    Family(
        "fsmt",
        ("fsmt",),
        tuple(
            replace(form, extra_rows="pad+1", first_row="pad+1", padding_row="pad")
            for form in _both(kind="fixed_sinusoid", optional=True)
        ),
        positions_by="fixed_sinusoid",
        pad_token_id=1,
    ),
    Family(
        "whisper",
        ("whisper",),
        (
            _text(f"decoder.{_BART_KEY}", "decoder", field="max_target_positions"),
            _text(f"encoder.{_BART_KEY}", "audio", kind="fixed_sinusoid", field="max_source_positions"),
        ),
    ),
    # images and sounds
    Family("vit", _names("vit dinov2 vit_msn dpt flava_image_model"), (_image(),)),
    Family("dinov2_with_registers", ("dinov2_with_registers",), (_image(),)),
    Family(
        "vit_mae",
        ("vit_mae",),
        (
            _image(kind="fixed_sinusoid"),
            _image("decoder.decoder_pos_embed", kind="fixed_sinusoid"),
        ),
    ),
    Family("deit", ("deit",), (_image(prefix_rows=2),)),
    Family("ijepa", _names("ijepa groupvit_vision_model"), (_image(prefix_rows=0),)),
    Family(
        "audio-spectrogram-transformer",
        ("audio-spectrogram-transformer",),
        (_image(prefix_rows=2, role="audio", field="max_length", layout="spectrogram"),),
    ),
    Family("vivit", ("vivit",), (_image(layout="video"),)),
    Family(
        "timesformer",
        ("timesformer",),
        (_image(), _text("embeddings.time_embeddings", "time", field="num_frames", optional=True)),
    ),
    Family(
        "yolos",
        ("yolos",),
        (_image(trailing="num_detection_tokens"),),
        buffers=("mid_position_embeddings",),
    ),
    # text beside images
    Family(
        "clip_text",
        _names(
            "clip_text_model clipseg_text_model metaclip_2_text_model siglip_text_model "
            "siglip2_text_model owlvit_text_model owlv2_text_model groupvit_text_model xclip_text_model "
            "aimv2_text_model"
        ),
        (_text(_CLIP_KEY),),
        buffers=_POSITION_IDS,
    ),
    Family(
        "clip_vision",
        _names(
            "clip_vision_model clipseg_vision_model metaclip_2_vision_model owlvit_vision_model "
            "owlv2_vision_model xclip_vision_model chinese_clip_vision_model altclip_vision_model "
            "git_vision_model"
        ),
        (_image(_CLIP_KEY),),
        buffers=_POSITION_IDS,
    ),
    Family(
        "siglip_vision",
        _names("siglip_vision_model aimv2_vision_model idefics2_vision idefics3_vision smolvlm_vision"),
        (_image(_CLIP_KEY, 0),),
        buffers=_POSITION_IDS,
    ),
    Family(
        "siglip2_vision",
        ("siglip2_vision_model",),
        (_image(_CLIP_KEY, 0, field="num_patches", layout="count"),),
    ),
    Family(
        "blip_vision",
        _names(
            "blip_vision_model blip_2_vision_model instructblip_vision_model instructblipvideo_vision_model"
        ),
        (_image("embeddings.position_embedding"),),
    ),
    Family("clip", ("clip",), parts=_towers("clip_text_model", "clip_vision_model")),
    Family("clipseg", ("clipseg",), parts=_towers("clipseg_text_model", "clipseg_vision_model")),
    Family("metaclip_2", ("metaclip_2",), parts=_towers("metaclip_2_text_model", "metaclip_2_vision_model")),
    Family("owlvit", _names("owlvit owlv2"), parts=_towers("owlvit_text_model", "owlvit_vision_model")),
    Family("xclip", ("xclip",), parts=_towers("xclip_text_model", "xclip_vision_model")),
    Family("groupvit", ("groupvit",), parts=_towers("groupvit_text_model", "groupvit_vision_model")),
    Family("siglip", ("siglip",), parts=_towers("siglip_text_model", "siglip_vision_model")),
    Family("siglip2", ("siglip2",), parts=_towers("siglip2_text_model", "siglip2_vision_model")),
    Family("aimv2", ("aimv2",), parts=_towers("aimv2_text_model", "aimv2_vision_model")),
    Family("altclip", ("altclip",), parts=_towers("altclip_text_model", "altclip_vision_model")),
    Family(
        "chinese_clip",
        ("chinese_clip",),
        parts=_towers("chinese_clip_text_model", "chinese_clip_vision_model"),
    ),
    Family("blip", ("blip",), parts=_towers("blip_text_model", "blip_vision_model")),
    Family("blip-2", ("blip-2",), parts=(Part("text_config", ("language_model.",)), _BLIP_VISION)),
    Family(
        "instructblip",
        _names("instructblip instructblipvideo"),
        parts=(
            Part("text_config", ("language_model.",)),
            Part("qformer_config", ("qformer.",), "instructblip_qformer"),
            _BLIP_VISION,
        ),
    ),
    Family(
        "flava",
        ("flava",),
        parts=(
            Part("text_config", ("text_model.",), "flava_text_model"),
            Part("image_config", ("image_model.",), "flava_image_model"),
        ),
    ),
    Family("align", ("align",), parts=(Part("text_config", ("text_model.",), "align_text_model"),)),
    Family("clap", ("clap",), parts=(Part("text_config", ("text_model.",), "clap_text_model"),)),
    Family(
        "vision-text-dual-encoder",
        ("vision-text-dual-encoder",),
        parts=(Part("text_config", ("text_model.",)), Part("vision_config", ("vision_model.",))),
    ),
    Family(
        "encoder-decoder",
        _names("encoder-decoder vision-encoder-decoder speech-encoder-decoder"),
        parts=(Part("encoder", ("encoder.",)), Part("decoder", ("decoder.",))),
    ),
    Family(
        "llava",
        _names(
            "llava llava_next llava_next_video llava_onevision vipllava paligemma idefics2 idefics3 smolvlm"
        ),
        parts=(_TEXT, _VISION),
        positions_by="rotary",
    ),
    Family("depth_anything", _names("depth_anything prompt_depth_anything"), parts=(_BACKBONE,)),
    # other libraries: their configurations are translated before
    Family("timm_vit", ("timm_vit_1",), (_image("pos_embed"),)),
    Family("timm_vit_distilled", ("timm_vit_2",), (_image("pos_embed", 2),)),
    Family("timm_vit_patches", ("timm_vit_0",), (_image("pos_embed", 0),)),
    Family(
        "open_clip",
        ("open_clip",),
        (_text("positional_embedding", field="context_length"),),
        (Part("vision_cfg", ("visual.",), "open_clip_vision"),),
    ),
    Family(
        "transformer_lens",
        (),
        (_text("pos_embed.W_pos", field="n_ctx", alone=True),),  # OPT's reserved rows are cut off there
    ),
    Family("open_clip_vision", ("open_clip_vision",), (_image("positional_embedding"),)),
    # known to have no table of positions
    Family(
        "rotary",
        _names(
            "llama mistral ministral mixtral qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next gemma gemma2 "
            "gemma3_text phi phi3 phimoe gpt_neox gpt_neox_japanese gptj codegen olmo olmo2 olmo3 olmoe "
            "cohere cohere2 stablelm starcoder2 granite granitemoe persimmon nemotron smollm3 helium "
            "deepseek_v2 deepseek_v3 gpt_oss exaone4 ernie4_5 glm glm4 modernbert modernbert-decoder "
            "nomic_bert eurobert gte jina_embeddings_v3 dbrx jetmoe bitnet arcee apertus hunyuan_v1_dense "
            "seed_oss minimax falcon_h1 zamba2 bamba dinov3_vit pixtral moonshine esmc llama4_text "
            "mllama_text_model"
        ),
        positions_by="rotary",
    ),
    Family("alibi", _names("bloom mpt"), positions_by="alibi"),
    Family("falcon", _names("falcon RefinedWeb RefinedWebModel"), positions_by="rotary", alibi_if="alibi"),
    Family(
        "relative",
        _names(
            "t5 mt5 umt5 longt5 byt5 switch_transformers pop2piano funnel xlnet swin swinv2 swin2sr "
            "donut-swin maskformer-swin data2vec-vision wav2vec2-bert"
        ),
        positions_by="relative_bias",
    ),
    Family("beit", ("beit",), (_image(optional=True),), positions_by="relative_bias"),
    Family(
        "sinusoid",
        _names("m2m_100 nllb-moe xglm pegasus_x musicgen_decoder"),
        positions_by="fixed_sinusoid",
        computed="max_position_embeddings",
    ),
    Family("ctrl", ("ctrl",), positions_by="fixed_sinusoid", computed="n_positions"),
    Family("speech_to_text", ("speech_to_text",), positions_by="fixed_sinusoid"),
    Family(
        "convolution",
        _names("wav2vec2 hubert unispeech unispeech-sat sew data2vec-audio"),
        positions_by="convolution",
    ),
    Family("recurrent", _names("mamba mamba2 falcon_mamba rwkv xlstm"), positions_by="none"),
)


def family_of(model_type: str) -> Family | None:
    """The family that ``model_type`` belongs to, or None.

    >>> family_of("camembert").name
    'roberta'
    """
    return _BY_TYPE.get(model_type)


def _by_type() -> dict[str, Family]:
    found: dict[str, Family] = {}
    for family in FAMILIES:
        for model_type in family.model_types:
            assert model_type not in found, f"{model_type} is in two families"
            found[model_type] = family
    return found


_BY_TYPE = _by_type()
