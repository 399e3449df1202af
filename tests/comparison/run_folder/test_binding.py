"""A run folder is bound to its trials: what was changed or moved in it is an error with the file's name."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milepost.api.compare import compare
from milepost.errors import FolderError
from milepost.storage.records import write_sealed

DEEP = '{"metrics": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.fixture
def run(
    tiny_run: tuple[Path, dict[str, Any]], tiny: dict[str, Any], tmp_path: Path
) -> tuple[Path, Callable[[], Any]]:
    """A finished run that may be changed, and the call that made it."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    return tmp_path / "run", lambda: compare(**tiny, out=tmp_path / "run")


def exchange(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def change(path: Path, pattern: str, new: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, new, text, count=1)
    assert changed != text
    path.write_text(changed)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def reseal(path: Path) -> None:
    """What an attacker might do who knows how the hash is made, and takes the record of another trial."""
    content = json.loads(path.read_text())
    del content["sha256"]
    write_sealed(path, {"key": "0" * 12}, content)


FAULTS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "measurements exchanged": ("length-8.json", lambda a, b: exchange(a / "length-8.json", b / "length-8.json")),
    "lengths exchanged": ("length-4.json", lambda a, _: exchange(a / "length-4.json", a / "length-8.json")),
    "trials exchanged": ("trial.json", exchange),
    "records exchanged": ("trial.json", lambda a, b: exchange(a / "trial.json", b / "trial.json")),
    "weights exchanged": ("weights.safetensors", lambda a, b: exchange(a / "weights.safetensors", b / "weights.safetensors")),
    "weights that are a pipe": ("weights.safetensors", lambda a, _: make_pipe(a / "weights.safetensors")),
    "a loss edited": ("length-8.json", lambda a, _: change(a / "length-8.json", r'"loss": [\d.e-]+', '"loss": 0.001')),
    "a loss that is no number": ("length-8.json", lambda a, _: change(a / "length-8.json", r'"loss": [\d.e-]+', '"loss": NaN')),
    "a loss that is text": ("length-8.json", lambda a, _: change(a / "length-8.json", r'"loss": [\d.e-]+', '"loss": "x"')),
    "an infinite loss": ("length-8.json", lambda a, _: change(a / "length-8.json", r'"loss": [\d.e-]+', '"loss": 1e999')),
    "a number of parameters edited": ("trial.json", lambda a, _: change(a / "trial.json", r'"parameters": \d+', '"parameters": 1')),
    "other kinds of fields": ("length-8.json", lambda a, _: (a / "length-8.json").write_text('{"metrics": [], "curve": 5, "breakdown": null}')),
    "a deep document": ("length-8.json", lambda a, _: (a / "length-8.json").write_text(DEEP)),
    "half a record": ("trial.json", lambda a, _: (a / "trial.json").write_text((a / "trial.json").read_text()[:200])),
    "no text": ("trial.json", lambda a, _: (a / "trial.json").write_bytes(b"\xff\xfe")),
    "a folder": ("length-8.json", lambda a, _: make_folder(a / "length-8.json")),
    "a pipe": ("length-8.json", lambda a, _: make_pipe(a / "length-8.json")),
    "a record of another trial, sealed again": ("trial.json", lambda a, _: reseal(a / "trial.json")),
    "a deep design": ("design.json", lambda a, _: (a.parents[1] / "design.json").write_text("[" * 100_000)),
    "an environment that is a list": ("environment.json", lambda a, _: (a.parents[1] / "environment.json").write_text("[]")),
    "a journal that is a folder": ("journal.jsonl", lambda a, _: make_folder(a.parents[1] / "journal.jsonl")),
    "a journal that is a pipe": ("journal.jsonl", lambda a, _: make_pipe(a.parents[1] / "journal.jsonl")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_changed_is_an_error_that_names_the_file(
    fault: str, run: tuple[Path, Callable[[], Any]]
) -> None:
    folder, again = run
    first, second = sorted(
        path for path in (folder / "trials").iterdir() if (path / "length-8.json").exists()
    )[:2]
    name, spoil = FAULTS[fault]
    spoil(first, second)
    if fault == "an environment that is a list":  # it is read when there is something to train
        shutil.rmtree(first)
    with pytest.raises(FolderError, match=re.escape(name)) as caught:
        again()
    assert (caught.value.code, caught.value.exit_code) == ("MP107", 2)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("text", [DEEP, "{", "[]", '{"spec": 1, "tuning": 2}', '{"spec": {"encodings": 3}}'])
def test_a_damaged_result_is_made_again_from_the_trials(
    text: str, run: tuple[Path, Callable[[], Any]]
) -> None:
    folder, again = run
    whole = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text)
    again()
    assert (folder / "result.json").read_text() == whole


def test_weights_that_were_removed_are_missed_only_when_they_are_needed(
    run: tuple[Path, Callable[[], Any]], tiny: dict[str, Any]
) -> None:
    folder, again = run
    for path in folder.glob("trials/*/weights.safetensors"):
        path.unlink()
    again()
    with pytest.raises(FolderError, match=r"needed to measure it\n.*weights\.safetensors"):
        compare(**tiny | {"lengths": (4, 6, 8, 16)}, out=folder)


def test_a_trial_that_is_a_link_is_refused(run: tuple[Path, Callable[[], Any]], tmp_path: Path) -> None:
    folder, again = run
    trial = next((folder / "trials").iterdir())
    shutil.move(trial, tmp_path / "elsewhere")
    trial.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "length-8.json").unlink()
    with pytest.raises(FolderError, match="is a link"):
        again()
    assert not (tmp_path / "elsewhere" / "length-8.json").exists()
