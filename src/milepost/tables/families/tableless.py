"""Families that are known to have no table of positions, or not always one."""

from __future__ import annotations

from milepost.tables.families.shorthand import image, names
from milepost.tables.family import Family, Stack, Variant


def _rotary(model_type: str, name: str, **options: object) -> Stack:
    """A decoder with rotary positions; ``name`` is what its classes begin with."""
    facts: dict[str, object] = {
        "attention": (f"{name}Attention",),
        "causal": "always",
        "rotary": "rotary_emb",
    }
    return Stack(model_type, f"{name}Model", **(facts | options))  # type: ignore[arg-type]


TABLELESS: tuple[Family, ...] = (
    Family(
        "rotary",
        names(
            "llama mistral ministral mixtral qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next gemma gemma2 "
            "gemma3_text phi phi3 phimoe gpt_neox gpt_neox_japanese gptj codegen olmo olmo2 olmo3 olmoe "
            "cohere cohere2 stablelm starcoder2 granite granitemoe persimmon nemotron smollm3 helium "
            "deepseek_v2 deepseek_v3 gpt_oss exaone4 ernie4_5 glm glm4 modernbert modernbert-decoder "
            "nomic_bert eurobert gte jina_embeddings_v3 dbrx jetmoe bitnet arcee apertus hunyuan_v1_dense "
            "seed_oss minimax falcon_h1 zamba2 bamba dinov3_vit pixtral moonshine esmc llama4_text "
            "mllama_text_model"
        ),
        positions_by="rotary",
        stacks=(
            _rotary("llama", "Llama"),
            _rotary("mistral", "Mistral"),
            _rotary("qwen2", "Qwen2"),
            _rotary("qwen3", "Qwen3"),
            _rotary("phi", "Phi", partial=True),
            _rotary("phi3", "Phi3", partial=True),
            _rotary("gpt_neox", "GPTNeoX", partial=True),
            _rotary("modernbert", "ModernBert", causal="never"),
        ),
    ),
    Family("alibi", names("bloom mpt"), positions_by="alibi"),
    Family("falcon", names("falcon RefinedWeb RefinedWebModel"), positions_by="rotary", alibi_if="alibi"),
    Family(
        "relative",
        names(
            "t5 mt5 umt5 longt5 byt5 switch_transformers pop2piano funnel xlnet swin swinv2 swin2sr "
            "donut-swin maskformer-swin data2vec-vision wav2vec2-bert"
        ),
        positions_by="relative_bias",
        variants=tuple(
            Variant(kind, shares_bias=True) for kind in names("t5 mt5 switch_transformers pop2piano")
        ),
    ),
    Family(
        "beit",
        ("beit",),
        (image(optional=True, present_if=("use_absolute_position_embeddings", True, False)),),
        positions_by="relative_bias",
    ),
    Family(
        "sinusoid",
        names("m2m_100 nllb-moe xglm pegasus_x musicgen_decoder"),
        positions_by="fixed_sinusoid",
        computed="max_position_embeddings",
    ),
    Family("ctrl", ("ctrl",), positions_by="fixed_sinusoid", computed="n_positions"),
    Family("speech_to_text", ("speech_to_text",), positions_by="fixed_sinusoid"),
    Family(
        "convolution",
        names("wav2vec2 hubert wavlm unispeech unispeech-sat sew data2vec-audio"),
        positions_by="convolution",
    ),
    Family("recurrent", names("mamba mamba2 falcon_mamba rwkv xlstm"), positions_by="none"),
)
