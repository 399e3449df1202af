from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from milepost.comparison.design import Design, Trial
from milepost.comparison.run_folder.folder import RunFolder
from milepost.errors import FolderError

DESIGN = Design("causal-lm", "a.txt", "00" * 32, 32)
RECORD = {"status": "done", "scales": {}, "usable_length": None, "picture": None, "weights_sha256": "ab"}
HERE = {"torch": "2.13.0", "threads_per_trial": 1}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin(DESIGN, HERE)
    return folder


def test_a_new_an_empty_and_its_own_folder_are_taken(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "nowhere").check(DESIGN)
    RunFolder(tmp_path / "empty").check(DESIGN)
    folder.check(dataclasses.replace(DESIGN, data="moved.txt"))
    assert not (tmp_path / "nowhere").exists()


def test_another_design_is_refused_with_the_differences(folder: RunFolder) -> None:
    with pytest.raises(FolderError, match="train_length: 32 there, 64 here") as caught:
        folder.check(dataclasses.replace(DESIGN, train_length=64))
    assert caught.value.exit_code == 2


def test_a_folder_of_other_things_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FolderError, match="other things"):
        RunFolder(tmp_path).check(DESIGN)
    with pytest.raises(FolderError, match="must be a directory"):
        RunFolder(tmp_path / "thesis.tex").check(DESIGN)


def test_another_environment_is_refused_until_the_run_begins_anew(folder: RunFolder) -> None:
    folder.check_environment(HERE)
    other = HERE | {"torch": "2.14.0"}
    with pytest.raises(FolderError, match=r"torch: 2\.13\.0 there, 2\.14\.0 here"):
        folder.check_environment(other)
    folder.restart()
    folder.check_environment(other)


def test_a_restart_keeps_what_is_not_its_own(folder: RunFolder) -> None:
    (folder.path / "notes.txt").write_text("mine")
    folder.write_record(Trial(DESIGN, "none", 0), RECORD)
    folder.restart()
    assert folder.read_record(Trial(DESIGN, "none", 0)) is None
    assert (folder.path / "notes.txt").read_text() == "mine"


def test_a_damaged_record_is_one_clear_error(folder: RunFolder) -> None:
    (folder.path / "design.json").write_text('{"task": ')
    with pytest.raises(FolderError, match=r"design\.json"):
        folder.check(DESIGN)


@pytest.mark.parametrize("text", ["{}", "[]", '{"status": "done"}', ""])
def test_a_file_without_its_fields_is_one_clear_error(folder: RunFolder, text: str) -> None:
    trial = Trial(DESIGN, "none", 0)
    folder.write_record(trial, RECORD)
    (folder.trial_path(trial) / "length-8.json").write_text(text)
    with pytest.raises(FolderError, match=r"length-8\.json.*\n.*trial is then trained again"):
        folder.read_measured(trial, 8)
    (folder.trial_path(trial) / "trial.json").write_text(text)
    with pytest.raises(FolderError, match=r"trial\.json.*\n.*trial is then trained again"):
        folder.read_record(trial)
