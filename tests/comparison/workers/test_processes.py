from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.plan import Job
from milepost.comparison.trials.checkpoint import Checkpoints, Stopped
from milepost.comparison.trials.team import Team
from milepost.comparison.trials.training import Trained, train
from milepost.comparison.workers.messages import Order
from milepost.comparison.workers.processes import assemble, dismiss
from milepost.comparison.workers.running import Running
from milepost.comparison.workers.scale import Scale
from milepost.errors import TrialFailed
from milepost.tasks import CausalLM, Options, Task, find_task

CPU = torch.device("cpu")
PLACE = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "TORCHELASTIC_RUN_ID")


@pytest.fixture(scope="module")
def task() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


@pytest.fixture(scope="module")
def second() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that stands ready, as under torchrun; this one is the first."""
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = dict(zip(PLACE, ("127.0.0.1", str(store.port), "2", "0", "test"), strict=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "milepost.comparison.workers.processes"],
        env=os.environ | place | {"RANK": "1", "LOCAL_RANK": "1"},
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.items():
            patch.setenv(name, value)
        yield process
        process.kill()
        process.wait()


def trial_of(task: Task, encoding: str, *, source: str = "builtin:python-docs", batch: int = 4) -> Trial:
    size, recipe = Model(layers=2, dim=16, heads=2), Training(steps=6, batch=batch)
    return Trial(Design(task.name, source, task.sha256, 8, model=size, training=recipe), encoding, 0)


def order_of(trial: Trial, strategy: str = "ddp") -> Order:
    running = Running(workers=1, scale=Scale(distributed=strategy, processes_per_trial=2))
    return Order(Job(trial, ()), Path("run"), running)


def alone(trial: Trial, task: Task) -> Trained:
    return train(trial, task, CPU, lambda step: None)


def check_same(found: Trained, wanted: Trained) -> None:
    assert found.losses == pytest.approx(wanted.losses, abs=1e-5)
    assert found.batch_hash == wanted.batch_hash
    pairs = dict(found.model.named_parameters()), dict(wanted.model.named_parameters())
    assert pairs[0].keys() == pairs[1].keys()
    # biases of keys, which a softmax does not see, move by rounding alone
    assert all((pairs[0][name] - pairs[1][name]).abs().median() < 1e-5 for name in pairs[0])


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
@pytest.mark.parametrize("encoding", ["learned", "sinusoidal", "rotary", "alibi", "t5", "none"])
def test_two_processes_have_the_losses_of_one(
    task: CausalLM, second: subprocess.Popen[bytes], encoding: str, strategy: str
) -> None:
    trial = trial_of(task, encoding)
    with assemble(order_of(trial, strategy)) as team:
        found = train(trial, task, CPU, lambda step: None, team=team)
    check_same(found, alone(trial, task))


def test_losses_over_unequal_numbers_of_labels_are_weighed(second: subprocess.Popen[bytes]) -> None:
    kind = find_task("copy")
    task = kind.open(kind.source, Options())
    trial = trial_of(task, "rotary", source=kind.source)
    counts = [task.weight(half) for half in halves(task, trial)]
    assert counts[0] != counts[1]
    with assemble(order_of(trial)) as team:
        found = train(trial, task, CPU, lambda step: None, team=team)
    check_same(found, alone(trial, task))


def halves(task: Task, trial: Trial) -> list[dict[str, np.ndarray]]:
    batch = task.batch(trial.seed, 0, 4, trial.design.train_length)
    return [{name: array[part] for name, array in batch.items()} for part in (slice(0, 2), slice(2, 4))]


def test_a_team_goes_on_from_a_checkpoint_that_the_first_process_read(
    task: CausalLM, second: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    trial = trial_of(task, "t5")
    kept, again = (
        Checkpoints(tmp_path, {}, every_seconds=1e6, on_event=lambda *_, **__: None) for _ in range(2)
    )
    # what a process alone left, for a team that stops leaves its others behind
    with pytest.raises(Stopped):
        train(trial, task, CPU, lambda step: step == 3 and kept.stop(), kept)
    seen: list[int] = []
    with assemble(order_of(trial)) as team:
        found = train(trial, task, CPU, seen.append, again, team)
    assert seen == [4, 5, 6]
    check_same(found, alone(trial, task))


def test_the_other_process_ends_when_it_is_sent_home(second: subprocess.Popen[bytes]) -> None:
    assert second.poll() is None
    dismiss()
    assert second.wait(60) == 0


def test_a_worker_starts_its_own_processes_and_ends_them(task: CausalLM) -> None:
    trial = trial_of(task, "learned")
    with pytest.MonkeyPatch.context() as patch:
        for name in PLACE:
            patch.delenv(name, raising=False)
        with assemble(order_of(trial)) as team:
            assert (team.rank, team.size) == (0, 2)
            found = train(trial, task, CPU, lambda step: None, team=team)
    check_same(found, alone(trial, task))


def test_a_process_that_cannot_start_is_one_clear_error(
    task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PLACE:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "broken").chmod(0o700)
    monkeypatch.setattr("sys.executable", str(tmp_path / "broken"))
    with pytest.raises(TrialFailed, match="exit code 3"), assemble(order_of(trial_of(task, "none"))):
        pass


def test_parts_of_a_batch_are_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    batch, parts = {"tokens": np.arange(12).reshape(6, 2)}, []
    for rank in range(3):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        part, share = Team("ddp", CPU).part(batch, lambda one: len(one["tokens"]))
        parts.append(part["tokens"])
        assert share == 1.0
    assert np.array_equal(np.concatenate(parts), batch["tokens"])
