from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.trials import checkpoint
from milepost.comparison.trials.checkpoint import Checkpoints, Stopped
from milepost.comparison.trials.randomness import seeded
from milepost.comparison.trials.training import Trained, train
from milepost.errors import FolderError
from milepost.tasks import CausalLM, Options

CPU, STEPS = torch.device("cpu"), 7
HERE = {"torch": "2.13.0", "threads_per_trial": 1}
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def task() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


def trial(task: CausalLM, encoding: str = "shape") -> Trial:
    recipe, size = Training(steps=STEPS, batch=2), Model(layers=1, dim=16, heads=2)
    design = Design("causal-lm", task.streams.name, task.sha256, 8, model=size, training=recipe)
    return Trial(design, encoding, 3)


def checkpoints(
    folder: Path,
    events: Events | None = None,
    *,
    every: float = 0,
    here: dict[str, Any] = HERE,
) -> Checkpoints:
    told: Events = [] if events is None else events
    return Checkpoints(
        folder, here, every_seconds=every, on_event=lambda name, **facts: told.append((name, facts))
    )


def run(
    task: CausalLM,
    kept: Checkpoints | None,
    *,
    stop_after: int | None = None,
    encoding: str = "shape",
    on_step: Callable[[int], None] = lambda _: None,
) -> Trained:
    def step(steps: int) -> None:
        on_step(steps)
        if steps == stop_after and kept is not None:
            assert kept.stop()

    return train(trial(task, encoding), task, CPU, step, kept)


def assert_same(found: Trained, wanted: Trained) -> None:
    assert found.losses == wanted.losses
    assert found.batch_hash == wanted.batch_hash
    theirs = wanted.model.state_dict()
    assert {name: value.tolist() for name, value in found.model.state_dict().items()} == {
        name: value.tolist() for name, value in theirs.items()
    }


@pytest.mark.parametrize("encoding", ["shape", "learned", "t5"])
@pytest.mark.parametrize("stop_after", [1, 4, STEPS])
def test_stopped_after_any_step_training_goes_on_to_the_same_bits(
    task: CausalLM, tmp_path: Path, encoding: str, stop_after: int
) -> None:
    whole = run(task, None, encoding=encoding)
    events: Events = []
    with pytest.raises(Stopped):
        run(task, checkpoints(tmp_path, every=1e9), stop_after=stop_after, encoding=encoding)
    told: list[int] = []
    resumed = run(task, checkpoints(tmp_path, events, every=1e9), encoding=encoding, on_step=told.append)
    assert events == [("resumed", {"step": stop_after})]
    assert told == list(range(stop_after + 1, STEPS + 1))
    assert_same(resumed, whole)


def test_checkpoints_change_nothing(task: CausalLM, tmp_path: Path) -> None:
    events: Events = []
    assert_same(run(task, checkpoints(tmp_path, events)), run(task, None))
    assert events == [("begun", {}), *[("checkpoint", {"step": step}) for step in range(1, STEPS + 1)]]


def test_two_are_kept_and_all_are_removed_at_the_end(task: CausalLM, tmp_path: Path) -> None:
    kept = checkpoints(tmp_path)
    run(task, kept)
    assert [path.name.split(".")[0] for path in sorted(tmp_path.iterdir())] == [
        "checkpoint-6",
        "checkpoint-7",
    ]
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def stopped(task: CausalLM, folder: Path) -> list[Path]:
    """Checkpoints of steps 3 and 4, the newest last."""
    with pytest.raises(Stopped):
        run(task, checkpoints(folder), stop_after=4)
    return sorted(folder.iterdir())


def damage(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_damaged_newest_one_gives_way_to_the_one_before(task: CausalLM, tmp_path: Path, place: int) -> None:
    older, newest = stopped(task, tmp_path)
    damage(newest, place)
    events: Events = []
    resumed = run(task, checkpoints(tmp_path, events, every=1e9))
    assert events == [("damaged", {"file": newest.name}), ("resumed", {"step": 3})]
    assert_same(resumed, run(task, None))
    assert not newest.exists()
    assert older.exists()


def test_where_both_are_damaged_training_begins_anew(task: CausalLM, tmp_path: Path) -> None:
    older, newest = stopped(task, tmp_path)
    newest.write_bytes(newest.read_bytes()[:-1])
    older.write_bytes(b"")
    events: Events = []
    assert_same(run(task, checkpoints(tmp_path, events, every=1e9)), run(task, None))
    assert [name for name, _ in events] == ["damaged", "damaged", "begun"]


def test_a_checkpoint_of_another_environment_is_refused_with_the_differences(
    task: CausalLM, tmp_path: Path
) -> None:
    before = [path.read_bytes() for path in stopped(task, tmp_path)]
    other = HERE | {"torch": "2.14.0", "threads_per_trial": 2}
    with pytest.raises(
        FolderError, match=r"threads_per_trial: 1 there, 2 here; torch: 2\.13\.0 there"
    ) as caught:
        run(task, checkpoints(tmp_path, here=other))
    assert caught.value.exit_code == 2
    assert "--restart" in caught.value.fix
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def test_time_is_added_up(task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    with pytest.raises(Stopped):
        run(task, checkpoints(tmp_path, every=1e9), stop_after=4)
    resumed = run(task, checkpoints(tmp_path, every=1e9), stop_after=None)
    # each part looks at the clock when it begins and ends, and once more in between
    assert resumed.seconds == 30


def test_slow_writing_makes_checkpoints_rarer(
    task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, events = [0.0], list[Any]()
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    kept = checkpoints(tmp_path, events, every=10)
    write = kept._write

    def write_slowly(of: Any) -> None:
        write(of)
        now[0] += 1  # a fiftieth of 50 seconds

    monkeypatch.setattr(kept, "_write", write_slowly)

    def pass_time(_: int) -> None:
        now[0] += 20

    run(task, kept, on_step=pass_time)
    assert [facts["step"] for name, facts in events if name == "checkpoint"] == [1, 4, 7]


def test_every_random_state_goes_on_where_it_was(tmp_path: Path) -> None:
    drawn: list[tuple[float, float, float]] = []

    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.register_buffer("steps", torch.zeros(()), persistent=False)

    def go(count: int, *, stop: bool) -> tuple[list[Any], Drawing]:
        model = Drawing()
        of = checkpoint.Run(model, torch.optim.AdamW(model.parameters()))
        kept, found = checkpoints(tmp_path, every=1e9), []
        with seeded(5, CPU), kept.watch(of):
            for _ in range(count):
                found.append((torch.rand(()).item(), random.random(), float(np.random.standard_normal())))
                loss = (model.weight * torch.rand(2)).sum()
                loss.backward()
                of.optimizer.step()
                of.optimizer.zero_grad()
                of.losses.append(loss.detach())
                model.steps += 1
            if stop:
                kept.stop()
                with pytest.raises(Stopped):
                    kept.after_step(of)
        return found, model

    outside = torch.get_rng_state(), random.getstate()
    drawn, whole = go(5, stop=False)
    first, _ = go(3, stop=True)
    second, resumed = go(2, stop=False)
    assert first + second == drawn
    assert torch.equal(resumed.weight, whole.weight)
    assert resumed.steps == 5
    assert torch.equal(torch.get_rng_state(), outside[0])
    assert random.getstate() == outside[1]


def test_a_stop_finds_nothing_to_stop_outside_of_training(tmp_path: Path) -> None:
    assert not checkpoints(tmp_path).stop()
