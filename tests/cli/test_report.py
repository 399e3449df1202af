from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from milepost.cli import main

MAKE = runpy.run_path(str(Path(__file__).parents[1] / "reporting" / "conftest.py"))["make_result"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name, lr in (("a", 0.002), ("b", 0.004)):
        result: dict[str, Any] = MAKE()
        result["spec"]["training"]["lr"] = lr
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    return ["a", "b"]


def milepost(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *words])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_one_folder_gets_its_page_and_its_tables(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert milepost("a") == 0
    shown = capsys.readouterr()
    assert "Mean loss in nats per token by length" in shown.out
    assert shown.err == f"written: {Path('a') / 'report.html'}\n"
    assert (Path("a") / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_several_print_side_by_side_and_write_only_what_was_asked_for(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert milepost(*runs) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("b and a differ in training lr alone.")
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    assert shown.err == ""
    assert not list(Path().rglob("*.html"))


def test_json_is_one_document_and_csv_one_file_a_figure(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert milepost(*runs, "--json", "--csv", "numbers", "--html", "both.html") == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    files = sorted(Path("numbers").iterdir())
    assert len(files) == len(document["figures"])
    assert f"written: {len(files)} files in numbers" in shown.err
    with Path("numbers/loss-by-length.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["run"] for row in rows} == {"a", "b"}
    assert Path("both.html").exists()


def test_quiet_says_nothing(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert milepost("a", "--quiet", "--csv", "numbers") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "[MP107]"),
        (["a", "a"], "[MP105]"),
        ([], "[MP105]"),
        (["a", "--log", "wandb:x"], "[MP104]"),
        (["a", "--csv", "a/result.json"], "[MP107]"),
    ],
)
def test_bad_input_is_three_lines_and_exit_code_2(
    runs: list[str], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert milepost(*words, "--quiet") == 2
    shown = capsys.readouterr()
    assert shown.out == "" and said in shown.err
    assert len(shown.err.splitlines()) == 3
    assert {path.name for path in Path().iterdir()} == {"a", "b"}
