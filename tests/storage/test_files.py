from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from milepost.cli import cli
from milepost.errors import FolderError, OptionError
from milepost.storage.files import durable, expand, refuse_output


def _make_fifo(path: Path) -> None:
    os.mkfifo(path)


def _make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # a null device of our own
    except PermissionError:
        pytest.skip("only root can make a device")


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _make_link(path: Path) -> None:
    path.with_name("target").write_text("kept")
    path.symlink_to("target")


def _make_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


IRREGULAR = {
    "a named pipe": _make_fifo,
    "a device": _make_device,
    "a socket": _make_socket,
    "a symbolic link": _make_link,
    "a symbolic link to nothing": _make_dangling_link,
    "a directory": Path.mkdir,
}


@pytest.fixture(params=IRREGULAR)
def irregular(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # paths of sockets are short
    path = Path("there")
    IRREGULAR[request.param](path)
    return path


def _what_is_there(folder: Path) -> list[tuple[str, int, int]]:
    return [(one.name, one.lstat().st_mode, one.lstat().st_ino) for one in sorted(folder.iterdir())]


def test_writer_replaces_regular_files_only(irregular: Path) -> None:
    before = _what_is_there(Path())
    with pytest.raises(FolderError, match="only a regular file"), durable(irregular) as beside:
        beside.write_text("new")
    assert _what_is_there(Path()) == before


def test_writer_looks_again_before_it_replaces(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="a named pipe"), durable(tmp_path / "page") as beside:
        beside.write_text("new")
        os.mkfifo(tmp_path / "page")
    assert [one.name for one in tmp_path.iterdir()] == ["page"]
    assert (tmp_path / "page").is_fifo()


def _forbid(*_: object, **__: object) -> None:
    raise AssertionError("work was begun")


VERBS: dict[str, tuple[list[str], str]] = {
    "inspect": (
        ["inspect", "table.npy", "--first-row", "0", "--html"],
        "milepost.diagnostics.inspect.inspection.inspect_model",
    ),
    "inspect --png": (
        ["inspect", "table.npy", "--first-row", "0", "--png"],
        "milepost.diagnostics.inspect.inspection.inspect_model",
    ),
    "doctor": (["doctor", ".", "--html"], "milepost.diagnostics.doctor.diagnose"),
    "report": (["report", "run", "--html"], "milepost.reporting.runs.read_result"),
    "compare": (["compare", "--html"], "milepost.cli.compare.compare"),
}


def _run(words: list[str], work: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(work, _forbid)
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_refuse_what_they_cannot_replace_before_they_work(
    verb: str, irregular: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, work = VERBS[verb]
    before = _what_is_there(Path())
    assert isinstance(_run([*words, str(irregular)], work, monkeypatch).exception, FolderError)
    assert _what_is_there(Path()) == before


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_keep_files_that_are_no_reports(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, work = VERBS[verb]
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"\x08" + bytes(20))
    done = _run([*words, str(weights)], work, monkeypatch)
    assert isinstance(done.exception, FolderError)
    assert "another kind" in done.exception.problem
    assert weights.read_bytes() == b"\x08" + bytes(20)


def test_pages_and_empty_files_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for content in (None, b"", b"<!DOCTYPE html><p>old"):
        if content is not None:
            page.write_bytes(content)
        refuse_output(page, begins=b"<!doctype html")


def test_folder_that_cannot_hold_a_report_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written"):
        refuse_output(tmp_path / "file" / "deep" / "page.html", begins=b"")


def test_tilde_is_the_home_folder_for_what_is_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    np.save("table.npy", np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32))
    words = ["inspect", "~/table.npy", "--first-row", "0", "--html", "~/out/page.html"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert (tmp_path / "out" / "page.html").exists()
    assert not Path("~").exists()


NO_USER = "~no-such-user-here/x"


def _calls() -> dict[str, Callable[[], object]]:
    import milepost
    from milepost.api.compare import compare
    from milepost.api.report import report
    from milepost.api.tune import tune

    return {
        "inspect": lambda: milepost.inspect(NO_USER),
        "doctor": lambda: milepost.doctor(NO_USER),
        "cost": lambda: milepost.cost(NO_USER),
        "extend": lambda: milepost.extend(NO_USER, to=80),
        "report": lambda: report(NO_USER),
        "compare": lambda: compare(NO_USER),
        "compare --out": lambda: compare("builtin:markov", out=NO_USER),
        "tune": lambda: tune(NO_USER, "builtin:markov"),
        "html": lambda: cli.main(["inspect", "x.npy", "--html", NO_USER], standalone_mode=False),
    }


@pytest.mark.parametrize("name", _calls())
def test_home_folder_of_an_unknown_user_is_an_error_of_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="home folder"):
        _calls()[name]()
    assert not list(tmp_path.iterdir())


def test_path_without_tilde_is_left_alone() -> None:
    assert expand("a/~b") == Path("a/~b")
