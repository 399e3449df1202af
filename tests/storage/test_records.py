from __future__ import annotations

import os
from pathlib import Path

import pytest

from milepost.errors import FolderError
from milepost.storage.files import durable
from milepost.storage.records import (
    check_design,
    compare_records,
    read_json,
    read_sealed,
    write_json,
    write_sealed,
)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError, match="power"), durable(path) as beside:
        beside.write_text("half")
        raise RuntimeError("power cut")
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_number_that_json_does_not_have_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match="cannot be written"):
        write_json(tmp_path / "a.json", {})


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(FolderError, match="cannot be written"):
        write_json(tmp_path / "in-the-way" / "a.json", {})


def test_differences_name_what_is_only_on_one_side() -> None:
    assert compare_records({"a": 1}, {"b": {"c": 2}}) == ["a: 1 there, None here", "b.c: None there, 2 here"]
    assert compare_records({"a": {"b": 1}}, {"a": [1]}) == ["a: {'b': 1} there, [1] here"]
    assert compare_records({"a": 0}, {"a": {"b": 1}}) == ["a: 0 there, {'b': 1} here"]


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a.json", {"key": "k"}, {"loss": 0.1, "curve": (1.0, 2.5e-300)})
    found = read_sealed(tmp_path / "a.json", {"key": "k"}, "loss")
    assert found == {"key": "k", "loss": 0.1, "curve": [1.0, 2.5e-300]}
    with pytest.raises(FolderError, match="it is of key k, not other"):
        read_sealed(tmp_path / "a.json", {"key": "other"})


def test_a_folder_is_refused_unless_it_is_new_empty_or_of_the_same_design(tmp_path: Path) -> None:
    run, wanted = tmp_path / "run", {"task": "copy", "model": {"dim": 8}}
    check_design(run, wanted)
    run.mkdir()
    check_design(run, wanted)
    (run / "journal.jsonl").touch()
    check_design(run, wanted, leftovers=["journal.jsonl"])
    with pytest.raises(FolderError, match="holds other things"):
        check_design(run, wanted)
    with pytest.raises(FolderError, match="--out must be a directory"):
        check_design(run / "journal.jsonl", wanted)
    write_json(run / "design.json", wanted)
    check_design(run, wanted)
    hints = {"model.": "the same --dim", "task": "the same --task"}
    with pytest.raises(FolderError, match=r"model\.dim: 8 there, 9 here") as caught:
        check_design(run, wanted | {"model": {"dim": 9}}, hints=hints)
    assert caught.value.fix == "give another --out, or the options of that design: the same --dim"
