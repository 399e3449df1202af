"""A call with fewer encodings, seeds or lengths is a view of the run folder: earlier results stay."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from milepost.api.compare import compare
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.run_folder.views import place_of, write_result


@pytest.fixture
def folder(tiny_run: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    shutil.copytree(tiny_run[0], tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text("the page")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "fewer",
    [{"encodings": "alibi,learned"}, {"seeds": 2}, {"lengths": (8,)}],
    ids=["encodings", "seeds", "lengths"],
)
def test_a_call_for_less_leaves_the_result_and_the_page(
    fewer: dict[str, Any], folder: Path, tiny: dict[str, Any]
) -> None:
    before = (folder / "result.json").read_bytes()
    result = compare(**tiny | fewer, out=folder)
    assert (folder / "result.json").read_bytes() == before
    assert (folder / "report.html").read_text() == "the page"
    place = place_of(result, folder)
    assert place.parent == folder / "views"
    assert (place / "result.json").exists()
    compare(**tiny, out=folder)
    assert (folder / "result.json").read_bytes() == before


def test_a_call_for_more_replaces_the_result(folder: Path) -> None:
    spec = {"encodings": ["a", "b"], "seeds": [0], "lengths": [4]}
    held = {"spec": spec, "tuning": None}

    (folder / "result.json").unlink()
    write_result(held, folder)
    for name, more in (("encodings", ["a", "b", "c"]), ("seeds", [0, 1]), ("lengths", [4, 8])):
        assert place_of({"spec": spec | {name: more}, "tuning": None}, folder) == folder
    assert place_of({"spec": spec | {"encodings": ["c", "d"]}, "tuning": None}, folder) != folder


def test_a_tuned_result_stays_when_a_call_tunes_nothing(folder: Path) -> None:

    spec = {"encodings": ["a"], "seeds": [0], "lengths": [4]}
    (folder / "result.json").unlink()
    write_result({"spec": spec, "tuning": {"lrs": [1.0, 2.0], "scales": [1.0]}}, folder)
    assert place_of({"spec": spec, "tuning": None}, folder) != folder
    assert place_of({"spec": spec, "tuning": {"lrs": [0.5, 1.0, 2.0], "scales": [1.0]}}, folder) == folder


def test_a_restart_removes_the_results_of_the_trials_that_it_removes(
    folder: Path, tiny: dict[str, Any]
) -> None:

    compare(**tiny | {"seeds": 2}, out=folder)
    RunFolder(folder).restart()
    assert sorted(path.name for path in folder.iterdir()) == ["design.json"]
