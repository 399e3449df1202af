"""Tiny random models of many families, written by transformers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

LENGTH = 20

# What makes any of these models small; each configuration takes the names it knows.
SMALL: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "embedding_size": 24, "max_position_embeddings": LENGTH, "n_positions": LENGTH, "pad_token_id": 3, "bos_token_id": 0,
    "eos_token_id": 2, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "n_embd": 16, "n_layer": 1, "n_head": 2,
    "num_layers": 1, "ffn_dim": 16, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "word_embed_proj_dim": 24,
    "attention_types": [[["global", "local"], 1]], "window_size": 8, "attention_window": 4, "projection_dim": 16,
    "max_source_positions": 16, "max_target_positions": LENGTH, "num_mel_bins": 16, "image_size": 32, "patch_size": 8,
    "max_encoder_position_embeddings": LENGTH, "max_decoder_position_embeddings": 12, "num_encoder_layers": 1,
    "num_decoder_layers": 1, "entity_vocab_size": 5, "entity_emb_size": 8, "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": 2, "max_length": 32, "num_detection_tokens": 5, "coordinate_size": 4, "shape_size": 4,
    "input_size": 32, "decoder_start_token_id": 2, "visual_embedding_dim": 16,
}  # fmt: skip

# family -> usable length today, length wanted, and the table where several could be meant
TEXT: dict[str, tuple[int, int, str | None]] = {
    "bert": (20, 50, None),
    "electra": (20, 50, None),
    "roberta": (16, 50, None),
    "mpnet": (18, 50, None),
    "longformer": (16, 50, None),
    "distilbert": (20, 50, None),
    "big_bird": (20, 50, None),
    "ibert": (16, 50, None),
    "luke": (16, 50, None),
    "nystromformer": (20, 50, None),
    "mra": (20, 50, None),
    "gpt2": (20, 50, None),
    "gpt_neo": (20, 50, None),
    "openai-gpt": (20, 50, None),
    "opt": (20, 50, None),
    "biogpt": (20, 50, None),
    "bart": (20, 50, None),
    "blenderbot": (20, 50, None),
    "prophetnet": (16, 50, None),
    "whisper": (20, 50, None),
    "led": (20, 52, "encoder.embed_positions.weight"),
    "clip_text_model": (20, 50, None),
}
IMAGES = ("vit", "deit", "ijepa", "clip_vision_model", "siglip_vision_model", "yolos")


def settings(kind: str) -> dict[str, Any]:
    cls = CONFIG_MAPPING[kind]
    names = set(cls.__dataclass_fields__) | set(cls.attribute_map)
    known = {name: value for name, value in SMALL.items() if name in names}
    if kind in ("yolos", "vit"):
        known["image_size"] = [32, 48]
    if kind == "yolos":
        known["num_hidden_layers"] = 3  # two tables between layers
    if kind == "gpt_neo":
        known |= {"num_layers": 2, "num_hidden_layers": 2}
    return known


def write(kind: str, folder: Path, *, shards: bool = False) -> Path:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModel.from_config(CONFIG_MAPPING[kind](**settings(kind)))
        with torch.no_grad():  # tables as far apart as trained ones, so that a wrong row is seen
            for name, value in model.named_parameters():
                if "pos" in name or "wpe" in name:
                    value.normal_()
        size = sum(value.numel() for value in model.parameters()) * 4
        model.save_pretrained(folder, **({"max_shard_size": size // 3} if shards else {}))
    return folder
