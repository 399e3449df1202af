from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from milepost.api.compare import compare
from milepost.comparison import Model, Scale, Training
from milepost.comparison.design import ENCODINGS, Design, Trial
from milepost.comparison.plan import Job, Progress
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.trials.batched import CannotBatch, train_together
from milepost.comparison.trials.checkpoint import Checkpoints, Stopped
from milepost.comparison.trials.training import Trained, train
from milepost.comparison.workers.runner import gather_seeds, run_jobs
from milepost.comparison.workers.running import Running
from milepost.errors import MilepostError, OptionError
from milepost.tasks import CausalLM, Options, Task, find_task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


def trials_of(
    task: Task, encoding: str, *, seeds: int = 3, source: str = "builtin:python-docs", **training: Any
) -> list[Trial]:
    recipe = Training(**{"steps": 6, "batch": 4} | training)
    size = Model(layers=1, dim=16, heads=2)
    design = Design(task.name, source, task.sha256, 8, model=size, training=recipe)
    return [Trial(design, encoding, seed) for seed in range(seeds)]


def checkpoints_in(
    folder: Path, trials: list[Trial], *, every_seconds: float = 1e6
) -> tuple[list[Checkpoints], list[tuple[int, str, dict[str, Any]]]]:
    events: list[tuple[int, str, dict[str, Any]]] = []

    def note(seed: int) -> Callable[..., None]:
        return lambda event, **facts: events.append((seed, event, facts))

    kept = [
        Checkpoints(folder / trial.key(), {}, every_seconds=every_seconds, on_event=note(trial.seed))
        for trial in trials
    ]
    return kept, events


def run(trials: list[Trial], task: Task, folder: Path) -> list[Trained]:
    return train_together(trials, task, CPU, lambda step: None, checkpoints_in(folder, trials)[0])


def alone(trial: Trial, task: Task) -> Trained:
    return train(trial, task, CPU, lambda step: None)


@pytest.mark.parametrize("encoding", [*ENCODINGS, "kerple"])
def test_a_batch_of_seeds_has_the_losses_of_each_alone(task: CausalLM, encoding: str, tmp_path: Path) -> None:
    trials = trials_of(task, encoding)
    together = run(trials, task, tmp_path)
    for trial, found in zip(trials, together, strict=True):
        wanted = alone(trial, task)
        assert found.losses == pytest.approx(wanted.losses, abs=1e-4)
        assert found.batch_hash == wanted.batch_hash
        pairs = dict(found.model.named_parameters()), dict(wanted.model.named_parameters())
        assert pairs[0].keys() == pairs[1].keys()
        # AdamW's first steps are as large for a gradient of 1e-8, which is rounding, as for one of 1:
        # the biases of keys, which a softmax does not see
        assert all((pairs[0][name] - pairs[1][name]).abs().median() < 1e-5 for name in pairs[0])
    assert len({tuple(found.losses) for found in together}) == len(trials)


def test_tied_weights_stay_tied(task: CausalLM, tmp_path: Path) -> None:
    for found in run(trials_of(task, "rotary"), task, tmp_path):
        assert found.model.lm_head.weight is found.model.transformer.wte.weight


@pytest.mark.parametrize("name", ["masked-lm", "copy", "images"])
def test_other_tasks_are_batches_too(name: str, tmp_path: Path) -> None:
    if name == "images":
        pytest.importorskip("sklearn", reason="the built-in images come with scikit-learn")
    kind = find_task(name)
    other = kind.open(kind.source, Options())
    trials = trials_of(other, "rotary", source=kind.source)
    for trial, found in zip(trials, run(trials, other, tmp_path), strict=True):
        assert found.losses == pytest.approx(alone(trial, other).losses, abs=1e-4)


@pytest.mark.parametrize("change", [{"clip": 0.05}, {"clip": 0.0}, {"weight_decay": 0.5, "lr": 1e-2}])
def test_each_model_has_its_own_clipping_and_its_own_decay(
    task: CausalLM, change: dict[str, float], tmp_path: Path
) -> None:
    trials = trials_of(task, "learned", **change)
    for trial, found in zip(trials, run(trials, task, tmp_path), strict=True):
        assert found.losses == pytest.approx(alone(trial, task).losses, abs=1e-4)


def test_models_that_torch_cannot_map_are_refused_with_the_reason_and_nothing_is_changed(
    task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looks(self: CausalLM, model: Any, batch: Any) -> torch.Tensor:
        if model(input_ids=batch["tokens"]).logits.sum() > 0:
            return batch["tokens"].sum()  # type: ignore[no-any-return]
        return batch["tokens"].float().mean()

    monkeypatch.setattr(CausalLM, "loss", looks)
    trials = trials_of(task, "none")
    kept, events = checkpoints_in(tmp_path, trials, every_seconds=0)
    with pytest.raises(CannotBatch, match="data-dependent"):
        train_together(trials, task, CPU, lambda step: None, kept)
    assert [event for _, event, _ in events] == ["begun"] * 3


def test_one_model_that_diverges_leaves_the_others_alone(
    task: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = trials_of(task, "none", steps=54)
    wanted = alone(trials[2], task)
    batch = CausalLM.batch
    loss = CausalLM.loss
    blank = torch.zeros(4, 9, dtype=torch.int64)

    def spoiled(self: CausalLM, seed: int, step: int, size: int, length: int) -> Any:
        return {"tokens": blank.numpy()} if (seed, step) == (1, 3) else batch(self, seed, step, size, length)

    def breaking(self: CausalLM, model: Any, batch: Any) -> torch.Tensor:
        whole = (batch["tokens"] == 0).all()
        return loss(self, model, batch) + torch.where(whole, float("nan"), 0.0)

    monkeypatch.setattr(CausalLM, "batch", spoiled)
    monkeypatch.setattr(CausalLM, "loss", breaking)
    first, second, third = run(trials, task, tmp_path)
    assert (first.diverged_at, second.diverged_at, third.diverged_at) == (None, 3, None)
    assert len(second.losses) == 50  # at the look
    assert third.losses == pytest.approx(wanted.losses, abs=1e-4)


def test_a_batch_goes_on_from_its_checkpoints_to_the_same_bits(task: CausalLM, tmp_path: Path) -> None:
    trials = trials_of(task, "t5", seeds=2)
    whole = run(trials, task, tmp_path / "whole")
    kept, _ = checkpoints_in(tmp_path, trials)

    def stop(step: int) -> None:
        if step == 4:
            assert [one.stop() for one in kept] == [True, True]

    with pytest.raises(Stopped):
        train_together(trials, task, CPU, stop, kept)
    again, events = checkpoints_in(tmp_path, trials)
    found = train_together(trials, task, CPU, lambda step: None, again)
    assert events == [(0, "resumed", {"step": 4}), (1, "resumed", {"step": 4})]
    assert [one.losses for one in found] == [one.losses for one in whole]
    for one, other in zip(found, whole, strict=True):
        assert one.batch_hash == other.batch_hash
        pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_checkpoint_of_a_batch_is_one_of_a_trial_alone_and_models_apart_train_apart(
    task: CausalLM, tmp_path: Path
) -> None:
    trials = trials_of(task, "alibi", seeds=2)

    def go_on(chosen: list[Trial], until: int) -> list[Any]:
        kept, events = checkpoints_in(tmp_path, chosen)

        def stop(step: int) -> None:
            if step == until:
                kept[0].stop()

        with pytest.raises(Stopped):
            if len(chosen) > 1:
                train_together(chosen, task, CPU, stop, kept)
            else:
                train(chosen[0], task, CPU, stop, kept[0])
        return events

    assert [(event, facts) for _, event, facts in go_on(trials, 3)[2:]] == [("checkpoint", {"step": 3})] * 2
    assert go_on(trials[:1], 5)[0] == (0, "resumed", {"step": 3})
    kept, events = checkpoints_in(tmp_path, trials)
    found = train_together(trials, task, CPU, lambda step: None, kept)
    assert [facts for _, _, facts in events] == [{"step": 5}, {"step": 3}]
    for trial, one in zip(trials, found, strict=True):
        assert one.losses == pytest.approx(alone(trial, task).losses, abs=1e-4)


def test_jobs_are_gathered_by_encoding_and_stand_in_their_order(task: CausalLM) -> None:
    seeds = [trials_of(task, name) for name in ("none", "alibi")]
    jobs = [Job(trial, (8,)) for pair in zip(*seeds, strict=True) for trial in pair]
    batches = gather_seeds(jobs, 2)
    shown = [[(job.trial.encoding, job.trial.seed) for job in batch] for batch in batches]
    assert shown == [[("none", 0), ("none", 1)], [("alibi", 0), ("alibi", 1)], [("none", 2)], [("alibi", 2)]]
    assert batches[0][0].companions == (seeds[0][1],)
    assert batches[0][1].companions == ()
    assert [job for batch in gather_seeds(jobs, 1) for job in batch] == jobs


def test_a_sweep_in_batches_finds_what_a_sweep_one_by_one_finds(
    tmp_path: Path, tiny: dict[str, Any], tiny_run: tuple[Path, dict[str, Any]]
) -> None:
    notes: list[str | None] = []
    result = compare(
        **tiny | {"encodings": "learned,alibi", "workers": 1},
        batch_seeds=3,
        out=tmp_path / "run",
        on_progress=lambda progress: notes.append(progress.note),
    )
    assert set(notes) == {None}  # none was trained one by one
    assert result["environment"]["models_at_once"] == 3
    wanted = {(one["encoding"], one["seed"]): one for one in tiny_run[1]["trials"]}
    for trial in result["trials"]:
        other = wanted[trial["encoding"], trial["seed"]]
        assert trial["status"] == "done"
        assert trial["batch_hash"] == other["batch_hash"]
        for length, metrics in other["metrics"].items():
            found = trial["metrics"][length]
            assert (found is None) == (metrics is None)
            assert metrics is None or found["loss"] == pytest.approx(metrics["loss"], abs=1e-4)
    for place in (tmp_path / "run" / "trials").iterdir():
        assert {"weights.safetensors", "trial.json", "length-8.json"} <= {
            path.name for path in place.iterdir()
        }
        assert not list(place.glob("checkpoint-*"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Scale(batch_seeds=0),
        lambda: Scale(processes_per_trial=0),
        lambda: Scale(gpus_per_trial=-1.0, ray=""),
        lambda: Scale(gpus_per_trial=1.0),
        lambda: Scale(distributed="horovod"),
        lambda: Scale(batch_seeds=2, processes_per_trial=2),
    ],
)
def test_scales_that_make_no_sense_are_refused(build: Callable[[], Scale]) -> None:
    with pytest.raises(MilepostError) as caught:
        build()
    assert caught.value.exit_code == 2


def test_designs_that_cannot_be_spread_so_are_refused(task: CausalLM) -> None:
    (trial,) = trials_of(task, "none", seeds=1, compile=True)
    with pytest.raises(OptionError, match="not compiled"):
        Scale(batch_seeds=2).check(trial.design)
    with pytest.raises(OptionError, match="batch 4, 3 processes"):
        Scale(processes_per_trial=3).check(trial.design)


@pytest.mark.slow
@pytest.mark.crash
def test_a_batch_whose_process_is_killed_goes_on_to_the_same_bits(task: CausalLM, tmp_path: Path) -> None:
    trials = trials_of(task, "rotary", seeds=2, steps=400)
    jobs = [job for batch in gather_seeds([Job(trial, (8,)) for trial in trials], 2) for job in batch]
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.steps > 100 and not progress.finished and not killed:
            (child,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            killed.append(int(child))
            os.kill(int(child), signal.SIGKILL)

    running = Running(workers=1, checkpoint_seconds=0.2, scale=Scale(batch_seeds=2))
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    assert run_jobs(jobs, whole.path, running, lambda _: None) == {}
    assert run_jobs(jobs, broken.path, running, kill) == {}
    assert killed
    events = [entry["event"] for entry in broken.journal.read().entries]
    assert events.count("resumed") == 2
    for trial in trials:
        records = [folder.read_record(trial) for folder in (whole, broken)]
        assert records[0] is not None
        assert records[1] is not None
        assert records[0]["weights_sha256"] == records[1]["weights_sha256"]
        assert whole.read_measured(trial, 8) == broken.read_measured(trial, 8)
