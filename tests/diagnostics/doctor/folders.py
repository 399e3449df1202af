"""Small model folders, sound until a test breaks one thing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

ROWS = 32

BERT = {"model_type": "bert", "max_position_embeddings": ROWS, "pad_token_id": 0}
ROBERTA = {"model_type": "roberta", "max_position_embeddings": ROWS + 2, "pad_token_id": 1}
GPT2 = {"model_type": "gpt2", "n_positions": ROWS}
OPT = {"model_type": "opt", "max_position_embeddings": ROWS}
LLAMA = {"model_type": "llama", "max_position_embeddings": 4096}
VIT = {"model_type": "vit", "image_size": 32, "patch_size": 8}

_TABLES = {
    "bert": ("embeddings.position_embeddings.weight", ROWS),
    "roberta": ("embeddings.position_embeddings.weight", ROWS + 2),
    "gpt2": ("wpe.weight", ROWS),
    "opt": ("decoder.embed_positions.weight", ROWS + 2),
    "llama": ("model.embed_tokens.weight", 8),
    "vit": ("embeddings.position_embeddings", 17),
    "longformer": ("embeddings.position_embeddings.weight", ROWS + 2),
    "led": ("encoder.embed_positions.weight", ROWS),
    "big_bird": ("embeddings.position_embeddings.weight", ROWS),
    "nystromformer": ("embeddings.position_embeddings.weight", ROWS + 2),
    "llava": ("language_model.embed_tokens.weight", 8),
}


def table(rows: int, dim: int = 8) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, dim)).astype(np.float32)


def make_folder(
    folder: Path,
    config: dict[str, Any] | None,
    *,
    rows: int | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    model_type: str | None = None,
    **documents: Any,
) -> Path:
    """A folder of one family; ``documents`` are JSON files by name without their ending, None leaves one out.

    A tokenizer whose limit fits comes with the text families.
    """
    kind = model_type or (config or {})["model_type"]
    key, usual = _TABLES[kind]
    rows = usual if rows is None else rows
    values = table(rows)[None] if kind == "vit" else table(rows)
    folder.mkdir(exist_ok=True, parents=True)
    save_file({key: values, **(tensors or {})}, folder / "model.safetensors")
    sound: dict[str, Any] = {"config": config}
    if kind != "vit":
        sound["tokenizer_config"] = {"model_max_length": 4096 if kind in ("llama", "llava") else ROWS}
    for name, document in (sound | documents).items():
        if document is not None:
            (folder / f"{name}.json").write_text(json.dumps(copy.deepcopy(document), indent=2))
    return folder


def of(report: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [finding for finding in report["findings"] if finding["code"] == code]


def statuses(report: dict[str, Any], *wanted: str) -> set[str]:
    """Codes with one of these statuses."""
    return {finding["code"] for finding in report["findings"] if finding["status"] in wanted}
