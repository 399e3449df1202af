"""The families that are known, one row each, and those that cannot be swapped, with the reason."""

from __future__ import annotations

from milepost.models.family import Family

_BERT_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")


def _bert_like(model_type: str, name: str, **options: object) -> Family:
    """A family with BERT's embeddings; ``name`` is what its classes begin with."""
    row: dict[str, object] = {
        "base": f"{name}Model",
        "table": "embeddings.position_embeddings",
        "attention": (f"{name}SelfAttention",),
        "cross_attention": (f"{name}CrossAttention",),
        "causal": "decoder",
        "limits": _BERT_BUFFERS,
        "zeros": ("token_type_ids",),
    }
    return Family(model_type=model_type, **(row | options))  # type: ignore[arg-type]


def _rotary(model_type: str, name: str, **options: object) -> Family:
    """A decoder with rotary positions and no table."""
    row: dict[str, object] = {"attention": (f"{name}Attention",), "causal": "always", "rotary": "rotary_emb"}
    return Family(model_type=model_type, base=f"{name}Model", **(row | options))  # type: ignore[arg-type]


def _images(model_type: str, name: str, **options: object) -> Family:
    """A vision Transformer whose table is a parameter ``[1, rows, dim]``."""
    row: dict[str, object] = {
        "base": f"{name}Model",
        "table": "embeddings.position_embeddings",
        "attention": (f"{name}Attention",),
        "causal": "never",
        "reads_table": True,
        "length": None,
        "prefix": 1,
    }
    return Family(model_type=model_type, **(row | options))  # type: ignore[arg-type]


def _bart(part: str) -> Family:
    return Family(
        model_type="bart",
        base=f"Bart{part.title()}",
        table="embed_positions",
        attention=("BartAttention",),
        cross_attention=("encoder_attn",),
        causal="always" if part == "decoder" else "never",
        heads=f"{part}_attention_heads",
        first_row=2,
    )


ROWS = (
    Family(model_type="gpt2", base="GPT2Model", table="wpe", attention=("GPT2Attention",), causal="always"),
    _bert_like("bert", "Bert"),
    _bert_like("roberta", "Roberta", pad="config"),
    _bert_like("xlm-roberta", "XLMRoberta", pad="config"),
    _bert_like("camembert", "Camembert", pad="config"),
    _bert_like("electra", "Electra"),
    _bert_like("albert", "Albert", attention=("AlbertAttention",), cross_attention=(), causal="never"),
    _bert_like(
        "mpnet", "MPNet", pad=1, causal="never", limits=(), zeros=(), interface=False,
        keeps="a bucketed bias of its own in attention",
    ),
    _bert_like("distilbert", "DistilBert", causal="never", limits=(), zeros=()),
    _bert_like("convbert", "ConvBert", causal="never", interface=False, keeps="convolutions"),
    _bert_like("esm", "Esm", pad="config", limits=(), zeros=(), embeds=False),
    Family(model_type="gpt_neo", base="GPTNeoModel", table="wpe", attention=(), causal="always", interface=False,
           limits=("h.0.attn.attention.bias",), firm=True),
    Family(
        model_type="opt", base="OPTDecoder", table="embed_positions",
        attention=("OPTAttention",), causal="always", first_row=2, counts_mask=True,
    ),
    Family(model_type="biogpt", base="BioGptModel", table="embed_positions", attention=("BioGptAttention",),
           causal="always", first_row=2),
    _bart("encoder"),
    _bart("decoder"),
    Family(
        model_type="whisper", base="WhisperDecoder", table="embed_positions", attention=("WhisperAttention",),
        cross_attention=("encoder_attn",), causal="always", heads="decoder_attention_heads",
        length="max_target_positions",
    ),
    Family(
        model_type="clip_text_model", base="CLIPTextModel", table="embeddings.position_embedding",
        attention=("CLIPAttention",), causal="always", reads_table=True, folder="clip",
    ),
    _images("clip_vision_model", "CLIPVision", table="embeddings.position_embedding",
            attention=("CLIPAttention",), folder="clip"),
    _images("vit", "ViT"),
    _images("deit", "DeiT", prefix=2),
    _images("dinov2", "Dinov2"),
    _rotary("llama", "Llama"),
    _rotary("mistral", "Mistral"),
    _rotary("qwen2", "Qwen2"),
    _rotary("qwen3", "Qwen3"),
    _rotary("phi", "Phi", partial=True),
    _rotary("phi3", "Phi3", partial=True),
    _rotary("gpt_neox", "GPTNeoX", partial=True),
    _rotary("modernbert", "ModernBert", causal="never"),
)  # fmt: skip

_CONVOLUTION = "its positions come from a convolution over its input, which cannot be told from its features"
_OWN_BIAS = "its attention adds a bias of its own for each distance"
_DISENTANGLED = "its attention scores content against position in terms of its own"
_PART = "it holds two models, each with its own positions"

REFUSED = {
    "t5": (_OWN_BIAS, "swap a family with a table, or train T5's own bias"),
    "mt5": (_OWN_BIAS, "swap a family with a table, or train its own bias"),
    "bloom": (_OWN_BIAS, "BLOOM has alibi already; begin from GPT-2 or OPT"),
    "deberta": (_DISENTANGLED, "begin from bert, roberta or electra"),
    "deberta-v2": (_DISENTANGLED, "begin from bert, roberta or electra"),
    "xlnet": (_DISENTANGLED, "begin from bert, roberta or electra"),
    "wav2vec2": (_CONVOLUTION, "swap the decoder of a Whisper model"),
    "hubert": (_CONVOLUTION, "swap the decoder of a Whisper model"),
    "wavlm": (_CONVOLUTION, "swap the decoder of a Whisper model"),
    "clip": (_PART, "swap(model.text_model, ...) or swap(model.vision_model, ...)"),
}
"""Model types that are known not to be swappable: why, and what to do instead."""
