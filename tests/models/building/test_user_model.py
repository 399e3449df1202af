"""The user's own model as the model of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from milepost.errors import MilepostError, OptionError, SwapRefused, UnknownFamily, UnsafeFile
from milepost.models.building.scratch import ModelShape
from milepost.models.building.user_model import build_user_model, describe_user_model, inner_width

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}
CONFIGS = {
    "gpt2": transformers.GPT2Config(
        n_layer=2, n_embd=16, n_head=2, vocab_size=50, n_positions=64, bos_token_id=0, eos_token_id=0
    ),
    "bert": transformers.BertConfig(**SMALL, max_position_embeddings=64),
    "roberta": transformers.RobertaConfig(**SMALL, max_position_embeddings=66),
    "llama": transformers.LlamaConfig(**SMALL, max_position_embeddings=64),
    "vit": transformers.ViTConfig(**{k: v for k, v in SMALL.items() if k != "vocab_size"}),
}
KINDS = [
    ("gpt2", "causal-lm"),
    ("gpt2", "forecast"),
    ("bert", "masked-lm"),
    ("bert", "classify"),
    ("roberta", "tag"),
    ("llama", "causal-lm"),
    ("vit", "images"),
]
ENCODINGS = ("learned", "sinusoidal", "rotary", "alibi", "none")


def shape_for(kind: str, **changes: Any) -> ModelShape:
    text = kind not in ("images", "forecast")
    sizes: dict[str, Any] = {
        "vocabulary_size": 30 if text else 0,
        "labels": 3,
        "pad": 29 if kind in ("classify", "tag") else None,
        "side": 16 if kind == "images" else 0,
        "patch": 4,
        "horizon": 4,
    }
    return ModelShape(2, 16, 2, 0.02, 24, **sizes | changes)


def inputs(kind: str) -> dict[str, torch.Tensor]:
    if kind == "images":
        return {"pixel_values": torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))}
    if kind == "forecast":
        return {"values": torch.randn(2, 96, generator=torch.Generator().manual_seed(0))}
    return {"input_ids": torch.arange(48).view(2, 24) % 28}


def shared(model: nn.Module) -> dict[str, nn.Parameter]:
    private = ("milepost", "position", "wpe")
    return {n: p for n, p in model.named_parameters() if not any(word in n for word in private)}


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_encodings_of_one_seed_share_every_other_weight(tmp_path: Path, name: str, kind: str) -> None:
    CONFIGS[name].save_pretrained(tmp_path)
    built = {
        e: build_user_model(str(tmp_path), kind, shape_for(kind), encoding=e, seed=1, weights=False)
        for e in ENCODINGS
    }
    first = shared(built["learned"])
    for model in built.values():
        assert shared(model).keys() == first.keys()
        assert all(torch.equal(first[key], value) for key, value in shared(model).items())
        assert not any(m.p for m in model.modules() if isinstance(m, nn.Dropout))
        model(**inputs(kind))
    other = build_user_model(str(tmp_path), kind, shape_for(kind), encoding="none", seed=2, weights=False)
    assert any(not torch.equal(first[key], value) for key, value in shared(other).items())


def test_no_token_of_the_text_is_taken_for_padding(tmp_path: Path) -> None:
    CONFIGS["roberta"].save_pretrained(tmp_path)
    model = build_user_model(
        str(tmp_path), "masked-lm", shape_for("masked-lm"), encoding="learned", seed=0, weights=False
    )
    rows = model.get_input_embeddings().weight
    assert (rows.norm(dim=-1) > 0).all()
    ones = torch.ones(1, 24, dtype=torch.long)  # 1 is RoBERTa's own padding
    states = model.roberta(input_ids=ones).last_hidden_state[0]
    assert not torch.allclose(states[0], states[5])


def test_weights_are_kept_and_so_is_the_table_for_learned(tmp_path: Path) -> None:
    stock = transformers.BertForMaskedLM(CONFIGS["bert"]).eval()
    stock.save_pretrained(tmp_path)
    asked = shape_for("masked-lm", vocabulary_size=50)
    model = build_user_model(
        str(tmp_path), "masked-lm", asked, encoding="learned", seed=0, weights=True
    ).eval()
    tokens = inputs("masked-lm")
    assert torch.equal(model(**tokens).logits, stock(**tokens).logits)
    rotary = build_user_model(
        str(tmp_path), "masked-lm", asked, encoding="rotary", seed=0, weights=True
    ).eval()
    assert torch.equal(rotary.get_input_embeddings().weight, stock.get_input_embeddings().weight)
    assert not torch.equal(rotary(**tokens).logits, stock(**tokens).logits)


def test_a_new_output_on_trained_weights_is_no_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    transformers.BertForMaskedLM(CONFIGS["bert"]).save_pretrained(tmp_path)
    capfd.readouterr()
    asked = shape_for("classify", vocabulary_size=50)
    build_user_model(str(tmp_path), "classify", asked, encoding="learned", seed=0, weights=True)
    assert capfd.readouterr() == ("", "")


def test_the_identity_is_that_of_the_files(tmp_path: Path) -> None:
    transformers.BertModel(CONFIGS["bert"]).save_pretrained(tmp_path)
    found = describe_user_model(str(tmp_path), weights=False)
    assert (found["layers"], found["dim"], found["heads"]) == (2, 16, 2)
    trained = describe_user_model(str(tmp_path), weights=True)
    assert trained["sha256"] != found["sha256"]
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert describe_user_model(str(tmp_path), weights=True)["sha256"] != trained["sha256"]
    assert describe_user_model(str(tmp_path), weights=False)["sha256"] == found["sha256"]


def test_feed_forward_layers_are_widened_in_the_familys_own_field(tmp_path: Path) -> None:
    for name in ("gpt2", "llama"):
        CONFIGS[name].save_pretrained(tmp_path)
        width = inner_width(str(tmp_path))
        assert width == {"gpt2": 64, "llama": 32}[name]
        counts = [
            sum(
                p.numel()
                for p in build_user_model(
                    str(tmp_path), "causal-lm", shape_for("causal-lm", inner=width + more),
                    encoding="none", seed=0, weights=False,
                ).parameters()
            )
            for more in (0, 1)
        ]  # fmt: skip
        assert counts[1] - counts[0] == 2 * {"gpt2": 33, "llama": 48}[name]


def refused(folder: Path, kind: str, **changes: Any) -> MilepostError:
    asked: dict[str, Any] = {"encoding": "learned", "seed": 0, "weights": False} | changes
    with pytest.raises(MilepostError) as caught:
        describe_user_model(str(folder), weights=asked["weights"])
        build_user_model(str(folder), kind, shape_for(kind), **asked)
    assert str(caught.value).count("\n") == 2
    return caught.value


def test_what_cannot_be_is_refused_in_three_lines(tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path, "causal-lm"), UnsafeFile)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "auto_map": {"AutoConfig": "x.Y"}, ')
    assert isinstance(refused(tmp_path, "causal-lm"), UnsafeFile)
    transformers.T5Config(d_model=16, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    assert isinstance(refused(tmp_path, "causal-lm"), SwapRefused | UnknownFamily)
    CONFIGS["vit"].save_pretrained(tmp_path)
    assert isinstance(refused(tmp_path, "causal-lm"), SwapRefused)
    CONFIGS["bert"].save_pretrained(tmp_path)
    assert isinstance(refused(tmp_path, "masked-lm", weights=True), UnsafeFile)
    transformers.BertForMaskedLM(transformers.BertConfig(**SMALL | {"vocab_size": 20})).save_pretrained(
        tmp_path
    )
    assert isinstance(refused(tmp_path, "masked-lm", weights=True), OptionError)
