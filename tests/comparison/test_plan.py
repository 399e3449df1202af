from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import milepost
from milepost.api.compare import compare
from milepost.comparison import Job, Plan, Progress, Trial, sweep
from milepost.comparison.plan import needed_bytes
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.trials.model import find_encoding
from milepost.comparison.workers.messages import Order
from milepost.comparison.workers.running import Running
from milepost.comparison.workers.worker import carry_out
from milepost.errors import DiskFull, FolderError
from milepost.storage.lock import locked
from milepost.tasks import CausalLM


def run_here(
    jobs: Sequence[Job],
    folder: Path,
    running: Running,
    on_progress: Callable[[Progress], None],
) -> dict[Trial, str]:
    """What worker processes do, in this one."""
    failures = {}
    for job in jobs:
        assert not job.companions
        reply = carry_out(Order(job, folder, running), {}, lambda _: True)
        assert reply.kind in ("finished", "failed"), reply
        if reply.reason is not None:
            failures[job.trial] = reply.reason
    return failures


@pytest.fixture
def small(tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sweep, "run_jobs", run_here)
    return tiny | {"encodings": "learned,alibi", "seeds": 1, "lengths": (4, 8), "out": tmp_path / "run"}


def statuses(result: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {trial["encoding"]: (trial["status"], trial["reason"]) for trial in result["trials"]}


def begun(folder: Path) -> int:
    return sum(entry["event"] == "begun" for entry in RunFolder(folder).journal.read().entries)


def test_a_trial_that_failed_is_left_alone_with_its_reason_until_a_retry(small: dict[str, Any]) -> None:
    loss = CausalLM.loss

    def fail(task: CausalLM, model: Any, batch: Any) -> Any:
        if find_encoding(model).name == "alibi":
            raise MemoryError("too much")
        return loss(task, model, batch)

    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CausalLM, "loss", fail)
        first = compare(**small)
    reason = statuses(first)["alibi"][1]
    assert str(reason).startswith("MemoryError: too much (test_plan.py, line ")
    assert statuses(first) == {"learned": ("done", None), "alibi": ("failed", reason)}
    second = compare(**small, on_plan=plans.append)
    assert plans[-1].jobs == ()
    assert list(plans[-1].failures.values()) == [reason]
    assert second["trials"] == first["trials"]
    third = compare(**small, retry_failed=True, on_plan=plans.append)
    assert [job.trial.encoding for job in plans[-1].jobs] == ["alibi"]
    assert statuses(third) == {"learned": ("done", None), "alibi": ("done", None)}


def test_a_trial_whose_folder_was_removed_is_trained_again(small: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CausalLM, "loss", lambda *_: 1 / 0)
        assert {status for status, _ in statuses(compare(**small)).values()} == {"failed"}
    shutil.rmtree(small["out"] / "trials")
    assert {status for status, _ in statuses(compare(**small)).values()} == {"done"}


def test_models_are_kept_for_load_and_inspect_and_nothing_is_trained_for_them(small: dict[str, Any]) -> None:
    plain = compare(**small)
    assert not list(small["out"].rglob("model.safetensors"))
    assert compare(**small, keep_models=True)["trials"] == plain["trials"]
    assert begun(small["out"]) == 2
    plans: list[Plan] = []
    compare(**small, keep_models=True, on_plan=plans.append)
    assert plans[0].jobs == ()
    for path in small["out"].glob("trials/*/model"):
        model = milepost.load(path)
        stored = find_encoding(model)
        assert model(torch.arange(8)[None]).logits.shape[:2] == (1, 8)
        if stored.name == "learned":
            (table,) = milepost.inspect(path, tensor="transformer.milepost.weight", first_row=0)["tables"]
            assert (table["rows"], table["dim"]) == tuple(stored.weight.shape)
        assert (path / "trial.json").exists()


def test_a_journal_that_is_damaged_is_told_of_and_no_hindrance(small: dict[str, Any]) -> None:
    first, plans = compare(**small), list[Plan]()
    journal = small["out"] / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0][:-9] + b"\n", *lines[1:], lines[-1][:20]]))
    assert compare(**small, on_plan=plans.append) == first
    assert ["line 1 is damaged" in plans[0].remarks[0], "not finished" in plans[0].remarks[1]] == [True, True]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DiskFull, match="1,000 bytes are free") as caught:
        compare(**small)
    assert (caught.value.code, caught.value.exit_code) == ("MP108", 2)
    assert str(caught.value).count("\n") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_says_what_the_rest_needs(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: Any, **__: Any) -> dict[Trial, str]:
        raise DiskFull("a file cannot be written", got="no space", fix="free some")

    monkeypatch.setattr(sweep, "run_jobs", fill)
    with pytest.raises(DiskFull, match=r"no space; what is left needs about [\d,]{6,} bytes") as caught:
        compare(**small)
    assert str(caught.value).count("\n") == 2


def test_the_estimate_of_the_room_covers_what_is_really_written(small: dict[str, Any]) -> None:
    plans, sizes = list[Plan](), dict[str, int]()
    compare(**small, keep_models=True, on_plan=plans.append)
    files = [path for path in small["out"].rglob("*") if path.is_file()]
    written = sum(path.stat().st_size for path in files)
    for job in plans[0].jobs:
        weights = RunFolder(small["out"]).trial_path(job.trial) / "weights.safetensors"
        sizes[job.trial.encoding] = weights.stat().st_size
    nowhere = RunFolder(small["out"].parent / "nowhere")
    assert written < needed_bytes(plans[0].jobs, nowhere, sizes, 2) < 20 * written


def test_a_restart_is_refused_while_another_call_holds_a_trial(small: dict[str, Any]) -> None:
    first = compare(**small)
    before = sorted(small["out"].rglob("*"))
    with locked(next(small["out"].glob("trials/*/lock"))):
        with pytest.raises(FolderError, match="another call works in this folder") as caught:
            compare(**small, restart=True)
        assert caught.value.exit_code == 2
        assert sorted(small["out"].rglob("*")) == before
    again = compare(**small, restart=True)
    assert statuses(again) == statuses(first)
    assert begun(small["out"]) == 2
