"""Tiny language models with tokenizers, extended, and texts for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from milepost.api.extend import extend

WORDS = [f"w{index}" for index in range(20)]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
OLD, NEW = 16, 48
KINDS = {
    "masked-lm": "BertForMaskedLM",
    "embedding": "BertModel",
    "causal-lm": "GPT2LMHeadModel",
    "roberta": "RobertaForMaskedLM",
    "opt": "OPTForCausalLM",
}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty documents; some are too short to reach the new rows."""
    folder = tmp_path_factory.mktemp("texts")
    random = np.random.default_rng(0)
    for index in range(40):
        drawn = random.choice(20, 12 if index % 8 == 0 else random.integers(30, 60), p=np.arange(1, 21) / 210)
        (folder / f"{index}.txt").write_text(" ".join(WORDS[one] for one in drawn))
    return folder


@pytest.fixture(scope="session")
def write_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a model of 16 positions of one kind."""
    return lambda kind: _write(tmp_path_factory.mktemp("base") / kind, kind)


@pytest.fixture(scope="session")
def pair(
    write_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, Path]]:
    """A model of 16 positions, and what it was extended to: 48. Only to be read."""
    made: dict[tuple[str, str], tuple[Path, Path]] = {}

    def make(kind: str, method: str = "tile") -> tuple[Path, Path]:
        if (kind, method) not in made:
            base = write_base(kind)
            longer = tmp_path_factory.mktemp("longer") / kind
            extend(base, to=NEW, method=method, out=longer)
            made[kind, method] = base, longer
        return made[kind, method]

    return make


def _write(folder: Path, kind: str) -> Path:
    torch.manual_seed(0)
    name = KINDS[kind]
    config_class = getattr(transformers, name).config_class
    if name.startswith("GPT2"):
        config = config_class(
            vocab_size=25, n_positions=OLD, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=2
        )
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "ffn_dim": 16,
                 "word_embed_proj_dim": 16, "vocab_size": 25, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}  # fmt: skip
        known = {key: value for key, value in sizes.items() if hasattr(config_class(), key)}
        more = 2 if name.startswith("Roberta") else 0
        config = config_class(**known, max_position_embeddings=OLD + more)
    model = getattr(transformers, name)(config)
    for key, value in model.named_parameters():
        torch.nn.init.normal_(value, std=1.0 if "pos" in key or "wpe" in key else 0.3)
    model.save_pretrained(folder)
    _write_tokenizer(folder, framed=name.startswith(("Bert", "Roberta")))
    return folder


def _write_tokenizer(folder: Path, *, framed: bool) -> None:
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if framed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>",
        mask_token="<mask>", model_max_length=OLD,
    ).save_pretrained(folder)  # fmt: skip
