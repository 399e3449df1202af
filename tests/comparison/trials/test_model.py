"""Models of one seed begin alike: every tensor of one name and shape is the same, whatever the encoding."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

from milepost.comparison.design import Design, Model, Trial
from milepost.comparison.trials.model import build_model, count_trainable, read_model
from milepost.models.building import initialisation
from milepost.tasks import TASKS, Options, Task, find_task

ENCODINGS = (
    "none",
    "learned",
    "learned(rank=2)",
    "rotary",
    "alibi",
    "t5",
    "shaw",
)  # of as many sizes as can be
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = SIZES | {"vocab_size": 400, "max_position_embeddings": 80}
FOLDERS = {
    "causal-lm": {
        "gpt2": transformers.GPT2Config(n_layer=2, n_embd=16, n_head=2, bos_token_id=0, eos_token_id=0),
        "llama": transformers.LlamaConfig(**TEXT),
        "opt": transformers.OPTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24, word_embed_proj_dim=16
        ),
    },
    "masked-lm": {
        "bert": transformers.BertConfig(**TEXT),
        "roberta": transformers.RobertaConfig(**TEXT),
    },
    "classify": {"camembert": transformers.CamembertConfig(**TEXT)},
    "tag": {"electra": transformers.ElectraConfig(**TEXT, embedding_size=8)},
    "forecast": {"gpt2": transformers.GPT2Config(n_layer=2, n_embd=16, n_head=2, bos_token_id=0, eos_token_id=0)},
    "images": {"vit": transformers.ViTConfig(**SIZES), "deit": transformers.DeiTConfig(**SIZES)},
}  # fmt: skip
OWN = [(task, family) for task, families in FOLDERS.items() for family in families]


@functools.cache
def open_task(name: str) -> Task:
    kind = find_task(name)
    return kind.open(kind.source, Options())


def build_all(task: Task, size: Model, *, matched: bool, seed: int) -> dict[str, nn.Module]:
    """A model for each encoding, as ``compare`` builds them."""
    design = Design(task.name, task.source, "00" * 32, task.train_length, model=size)
    models = {name: build_model(Trial(design, name, seed), task) for name in ENCODINGS}
    if not matched:
        return models
    most = max(map(count_trainable, models.values()))
    design = dataclasses.replace(design, model=dataclasses.replace(size, parameters=most))
    return {name: build_model(Trial(design, name, seed), task) for name in ENCODINGS}


def tensors_of(model: nn.Module) -> Iterator[tuple[tuple[str, torch.Size], Tensor]]:
    """All tensors of a model but those of the encoding, whose names mean other things in other encodings."""
    for name, value in model.state_dict().items():
        if ".milepost." not in name and value.numel():
            yield (name, value.shape), value


def find_differing(models: Mapping[str, nn.Module]) -> set[str]:
    """Names of tensors that are of one shape in two models and differ."""
    first: dict[tuple[str, torch.Size], Tensor] = {}
    differing = set()
    for model in models.values():
        for key, value in tensors_of(model):
            if not torch.equal(first.setdefault(key, value), value):
                differing.add(key[0])
    return differing


def widths(models: Mapping[str, nn.Module]) -> set[int]:
    """How many parameters the models have outside of their encodings."""
    return {sum(value.numel() for _, value in tensors_of(model)) for model in models.values()}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("seed", [0, 7])
def test_models_of_a_task_begin_alike_in_every_tensor_of_one_shape(name: str, seed: int) -> None:
    task, size = open_task(name), Model(layers=2, dim=16, heads=2)
    plain = build_all(task, size, matched=False, seed=seed)
    matched = build_all(task, size, matched=True, seed=seed)
    assert len(widths(plain)) == 1 < len(widths(matched))
    assert find_differing({f"{name} {kind}": model for kind, models in (("plain", plain), ("matched", matched))
                           for name, model in models.items()}) == set()  # fmt: skip


@pytest.mark.parametrize(("name", "family"), OWN)
def test_models_of_the_users_own_begin_alike_in_every_tensor_of_one_shape(
    name: str, family: str, tmp_path: Path
) -> None:
    FOLDERS[name][family].save_pretrained(tmp_path)
    task, size = open_task(name), read_model(Model(folder=str(tmp_path)))
    matched = build_all(task, size, matched=True, seed=3)
    assert len(widths(matched)) > 1
    assert find_differing(matched | {"plain": build_all(task, size, matched=False, seed=3)["none"]}) == set()


@pytest.mark.parametrize("name", ["masked-lm", "forecast", "images"])
def test_the_check_finds_weights_that_are_drawn_one_after_another(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_one_stream(
        self: object, func: object, types: object, args: object = (), kwargs: object = None
    ) -> object:
        return func(*args, **(kwargs or {}))  # type: ignore[operator,misc,dict-item]

    monkeypatch.setattr(initialisation._OwnStreams, "__torch_function__", in_one_stream)
    monkeypatch.setattr(initialisation._OwnStreams, "__enter__", lambda self: torch.manual_seed(0))
    monkeypatch.setattr(initialisation._OwnStreams, "__exit__", lambda self, *error: None)
    models = build_all(open_task(name), Model(layers=2, dim=16, heads=2), matched=True, seed=0)
    assert len(find_differing(models)) > 3


def test_seeds_differ() -> None:
    task, size = open_task("tag"), Model(layers=1, dim=16, heads=2)
    models = {str(seed): build_all(task, size, matched=False, seed=seed)["none"] for seed in (0, 1)}
    assert "bert.embeddings.word_embeddings.weight" in find_differing(models)
