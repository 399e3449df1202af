from __future__ import annotations

from pathlib import Path

import pytest

from milepost.api.compare import compare
from milepost.comparison.options import (
    FolderOptions,
    Inputs,
    Listeners,
    Question,
    Shared,
    Stopping,
    Tuning,
    choose_tokenizer,
    refuse_strange_tokenizer,
)
from milepost.comparison.sweep import Sweep
from milepost.comparison.workers.running import Running
from milepost.errors import OptionError
from milepost.tasks import TASKS, find_task


@pytest.mark.parametrize("device", ["nope", "cuda:99", "hpu"])
def test_a_device_that_is_not_there_is_an_error_before_anything_is_trained(device: str) -> None:
    with pytest.raises(OptionError, match="torch cannot use this device") as caught:
        compare(encodings="none", device=device, layers=1, dim=16, heads=2)
    assert device in caught.value.got
    Running("cpu").check_device()


def test_a_training_length_of_zero_is_not_the_default() -> None:
    with pytest.raises(OptionError, match="length must be at least 1"):
        compare(train_length=0)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "train:bpe:100"])
def test_weights_are_not_trained_on_the_ids_of_another_tokenizer(tokenizer: str) -> None:
    with pytest.raises(OptionError, match="another tokenizer"):
        refuse_strange_tokenizer(tokenizer, "folder")
    refuse_strange_tokenizer("folder", "folder")


def test_only_tasks_on_text_take_the_tokenizer_of_a_model() -> None:
    chosen = {name: choose_tokenizer("folder", reads_text=find_task(name).reads_text) for name in TASKS}
    assert {name for name, tokenizer in chosen.items() if tokenizer == "folder"} == {
        "causal-lm",
        "masked-lm",
        "classify",
        "tag",
    }


def test_a_sweep_of_default_options_is_planned_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    question = Question("none,alibi")
    sweep = Sweep.from_options(
        Inputs(), question, Stopping(2), Tuning("auto"), Shared(), Running(), FolderOptions(), Listeners()
    )
    assert len(sweep.plan().jobs) == 2 * 2 * 3
    assert sweep.request.grid.lrs == (0.001, 0.002, 0.004)
    assert list(tmp_path.iterdir()) == []
