from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.trials.training import Trained, build_optimizer, train
from milepost.errors import UnknownName
from milepost.tasks import CausalLM, Options

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


def design(task: CausalLM, **training: float | str | bool) -> Design:
    recipe = Training(**{"steps": 5, "batch": 4} | training)  # type: ignore[arg-type]
    size = Model(layers=1, dim=16, heads=2)
    return Design("causal-lm", task.streams.name, task.sha256, 8, model=size, training=recipe)


def run(trial: Trial, task: CausalLM) -> Trained:
    return train(trial, task, CPU, lambda step: None)


def test_the_same_trial_gives_the_same_bits(task: CausalLM) -> None:
    trial = Trial(design(task), "rotary", 3)
    torch.manual_seed(1)
    first = run(trial, task)
    torch.manual_seed(2)  # whatever the state of the process is
    second = run(trial, task)
    assert first.losses == second.losses
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_encodings_of_one_seed_see_the_same_batches_and_seeds_do_not(task: CausalLM) -> None:
    shared = design(task)
    hashes = {name: run(Trial(shared, name, 0), task).batch_hash for name in ("learned", "alibi", "none")}
    assert len(set(hashes.values())) == 1
    assert run(Trial(shared, "none", 1), task).batch_hash not in hashes.values()


def test_each_step_is_told(task: CausalLM) -> None:
    told: list[int] = []
    train(Trial(design(task), "none", 0), task, CPU, told.append)
    assert told == [1, 2, 3, 4, 5]


def test_a_trial_that_diverges_says_at_which_step(task: CausalLM) -> None:
    trained = run(Trial(design(task, lr=1e30, clip=0, steps=60), "none", 0), task)
    assert trained.diverged_at is not None
    assert trained.diverged_at < 10


def test_training_learns(task: CausalLM) -> None:
    trained = run(Trial(design(task, steps=60, batch=16, lr=1e-2), "learned", 0), task)
    assert np.mean(trained.losses[-5:]) < np.mean(trained.losses[:5]) - 0.5


def test_only_matrices_of_blocks_decay(task: CausalLM) -> None:
    from milepost.models import ModelShape, build_scratch

    shape = ModelShape(layers=1, dim=16, heads=2, init_std=0.1, max_len=8, vocabulary_size=11)
    model = build_scratch("causal-lm", shape, encoding="t5", seed=0)
    decayed = {id(p) for p in build_optimizer(model, Training()).param_groups[0]["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert names == {
        f"transformer.h.0.{part}.weight" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    table = build_scratch("causal-lm", shape, encoding="learned", seed=0)
    groups = build_optimizer(table, Training()).param_groups
    assert {tuple(p.shape) for p in groups[1]["params"]} >= {(8, 16), (11, 16)}
    assert sum(len(group["params"]) for group in groups) == len(list(table.parameters()))


def test_the_raw_sinusoid_is_a_trap_and_the_scaled_one_is_not(task: CausalLM) -> None:
    """Beside token embeddings of std 0.02 the paper's amplitude drowns the tokens: worse than no encoding."""
    shared = dataclasses.replace(
        design(task, steps=150, batch=16, lr=2e-3),
        train_length=16,
        model=Model(layers=1, dim=32, heads=4, init_std=0.02),
    )
    losses = {}
    for name in ("sinusoidal(rms=raw)", "sinusoidal", "none"):
        model = run(Trial(shared, name, 0), task).model
        losses[name] = task.evaluate(model, 16, CPU).metrics["loss"]
    assert losses["sinusoidal(rms=raw)"] > losses["none"] + 0.1
    assert losses["sinusoidal(rms=raw)"] > losses["sinusoidal"] + 0.1


@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5"])
def test_bf16_has_losses_near_those_of_float32_and_is_a_design_of_its_own(
    task: CausalLM, encoding: str
) -> None:
    found = [run(Trial(design(task, dtype=dtype), encoding, 0), task) for dtype in ("bf16", "float32")]
    gaps = np.abs(np.subtract(*(one.losses for one in found)))
    assert 0 < gaps.max() < 0.02
    assert {p.dtype for p in found[0].model.parameters()} == {torch.float32}
    again = run(Trial(design(task, dtype="bf16"), encoding, 0), task)
    assert again.losses == found[0].losses
    assert Trial(design(task), encoding, 0).key() != Trial(design(task, dtype="bf16"), encoding, 0).key()


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(UnknownName, match="bf16"):
        Training(dtype="bf17")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning"
)  # torch's own, as its compiler is imported
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile wants a C++ compiler")
@pytest.mark.parametrize("encoding", ["learned", "rotary", "alibi", "t5"])
def test_a_compiled_model_has_losses_near_those_of_one_that_is_not(task: CausalLM, encoding: str) -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    plain = run(Trial(design(task), encoding, 0), task)
    assert not counters["stats"]["unique_graphs"]
    compiled = run(Trial(design(task, compile=True), encoding, 0), task)
    assert counters["stats"]["unique_graphs"] > 0
    assert compiled.losses == pytest.approx(plain.losses, abs=1e-4)
