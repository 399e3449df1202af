"""Decoders of text, and encoders with decoders."""

from __future__ import annotations

from dataclasses import replace

from milepost.tables.families.shorthand import BART_KEY, after_pad, both, names, text
from milepost.tables.family import Family, Stack


def _bart_half(model_type: str, base: str, attention: str, half: str) -> Stack:
    return Stack(
        model_type,
        base,
        (attention,),
        causal="always" if half == "decoder" else "never",
        role=half,
        cross_attention=("encoder_attn",),
        heads=f"{half}_attention_heads",
    )


DECODERS: tuple[Family, ...] = (
    # decoders of text
    Family(
        "gpt2",
        names("gpt2 gpt-sw3 gpt_bigcode imagegpt"),
        (text("wpe.weight", field="n_positions", alone=True),),
        buffers=("attn.bias",),
        config_fields=("n_ctx",),
        stacks=(Stack("gpt2", "GPT2Model", ("GPT2Attention",), "always"),),
    ),
    Family(
        "gpt_neo",
        ("gpt_neo",),
        (text("wpe.weight", alone=True),),
        buffers=("attn.attention.bias",),
        stacks=(
            Stack(
                "gpt_neo",
                "GPTNeoModel",
                attention=(),
                causal="always",
                interface=False,
                limits=("h.0.attn.attention.bias",),
                firm=True,
            ),
        ),
    ),
    Family(
        "decision_transformer",
        ("decision_transformer",),
        (
            # its model passes zeros for all positions: time comes from embed_timestep
            text("encoder.wpe.weight", field="n_positions", resizable=False),
            text("embed_timestep.weight", "time", field="max_ep_len", resizable=False, optional=True),
        ),
        buffers=("attn.bias",),
    ),
    Family(
        "openai-gpt",
        ("openai-gpt",),
        (text("positions_embed.weight", field="n_positions", alone=True),),
        buffers=("position_ids", "attn.bias"),
    ),
    Family(
        "opt",
        ("opt",),
        (text(f"decoder.{BART_KEY}", extra_rows=2, first_row=2),),
        stacks=(Stack("opt", "OPTDecoder", ("OPTAttention",), "always", counts_mask=True),),
    ),
    Family(
        "biogpt",
        ("biogpt",),
        (text(BART_KEY, extra_rows=2, first_row=2),),
        stacks=(Stack("biogpt", "BioGptModel", ("BioGptAttention",), "always"),),
    ),
    # encoder and decoder
    Family(
        "bart",
        names("bart mbart plbart mvp"),
        both(extra_rows=2, first_row=2),
        stacks=(
            _bart_half("bart", "BartEncoder", "BartAttention", "encoder"),
            _bart_half("bart", "BartDecoder", "BartAttention", "decoder"),
        ),
    ),
    Family("trocr", ("trocr",), (text(f"decoder.{BART_KEY}", "decoder", extra_rows=2, first_row=2),)),
    Family("blenderbot", names("blenderbot blenderbot-small bigbird_pegasus"), both()),
    Family(
        "led",
        ("led",),
        (
            text(f"encoder.{BART_KEY}", "encoder", field="max_encoder_position_embeddings"),
            text(f"decoder.{BART_KEY}", "decoder", field="max_decoder_position_embeddings"),
        ),
        config_fields=("attention_window",),
    ),
    Family(
        "prophetnet",
        names("prophetnet xlm-prophetnet"),
        tuple(after_pad(f"{side}.position_embeddings.weight", side) for side in ("encoder", "decoder")),
        pad_token_id=0,
        clamps=True,
    ),
    Family(
        "pegasus",
        names("pegasus marian"),
        both(kind="fixed_sinusoid", waves="halves", optional=True),
        positions_by="fixed_sinusoid",
        computed="max_position_embeddings",
    ),
    Family(
        "fsmt",
        ("fsmt",),
        tuple(
            replace(form, extra_rows="pad+1", first_row="pad+1", padding_row="pad")
            for form in both(kind="fixed_sinusoid", optional=True)
        ),
        positions_by="fixed_sinusoid",
        pad_token_id=1,
    ),
    Family(
        "whisper",
        ("whisper",),
        (
            text(f"decoder.{BART_KEY}", "decoder", field="max_target_positions"),
            text(f"encoder.{BART_KEY}", "audio", kind="fixed_sinusoid", field="max_source_positions"),
        ),
        stacks=(_bart_half("whisper", "WhisperDecoder", "WhisperAttention", "decoder"),),
    ),
)
