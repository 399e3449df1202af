"""The memory of a trial is its own: what ran before in the same process changes nothing."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.trials.peak_memory import StepMemory
from milepost.comparison.trials.training import train
from milepost.tasks import CausalLM, Options

CPU = torch.device("cpu")
MIB = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_trial_takes_the_same_memory_after_a_larger_one() -> None:
    data = "builtin:python-docs"
    task = CausalLM.open(data, Options())

    def measure(dim: int, batch: int, length: int) -> int:
        size, recipe = Model(layers=2, dim=dim, heads=2), Training(steps=4, batch=batch)
        trial = Trial(Design("causal-lm", data, task.sha256, length, model=size, training=recipe), "none", 0)
        return train(trial, task, CPU, lambda _: None).peak_memory_bytes

    first, large, second = measure(64, 16, 32), measure(128, 32, 128), measure(64, 16, 32)
    assert large > 4 * first
    assert abs(second - first) < 0.25 * first


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_step_is_measured_with_what_is_held_and_the_first_one_is_not() -> None:
    held = [torch.ones(10 * MIB // 4)]
    memory = StepMemory(lambda: held, CPU)
    with memory.step():
        torch.ones(200 * MIB // 4).sum()
    assert memory.peak_bytes == 0
    for _ in range(2):
        with memory.step():
            torch.ones(50 * MIB // 4).sum()
    assert 59 * MIB < memory.peak_bytes < 75 * MIB


def test_where_the_system_does_not_tell_there_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.comparison.trials.peak_memory._status_bytes", lambda _: None)
    memory = StepMemory(lambda: nn.Linear(2, 2).parameters(), CPU)
    for _ in range(3):
        with memory.step():
            pass
    assert memory.peak_bytes == 0
