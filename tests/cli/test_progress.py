from __future__ import annotations

import sys

import pytest

from milepost.cli.progress import StageProgress

NEWS = [("loading", 0, 0), ("tile", 0, 4), ("tile", 1, 4), ("tile", 2, 4), ("mean", 2, 4), ("mean", 4, 4)]


def show(*, quiet: bool = False) -> None:
    with StageProgress(quiet=quiet) as progress:
        for one in NEWS:
            progress.update(*one)


def test_off_a_terminal_each_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    assert capsys.readouterr() == ("", "loading\ntile (0 of 4)\nmean (2 of 4)\n")


def test_on_a_terminal_there_is_one_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "mean" in shown.err
    assert "100%" in shown.err


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show(quiet=True)
    assert capsys.readouterr() == ("", "")
