"""The page of results: rows are commands that can be read, numbers are those of the runs, and the page is not older."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import results  # noqa: E402
from milepost.api.compare import compare  # noqa: E402
from milepost.cli.compare import command  # noqa: E402
from milepost.tasks import TASKS  # noqa: E402

sys.path.remove(str(ROOT))

PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")
ROW = results.Row("tiny", "A tiny run", "Documentation: of Python.", "--encodings learned,none")


def run(folder: Path, **options: Any) -> dict[str, Any]:
    return compare(
        encodings=["learned", "none"],
        train_length=8,
        lengths=[8, 16],
        seeds=3,
        layers=1,
        dim=16,
        heads=2,
        steps=3,
        batch=2,
        workers=1,
        out=folder,
        **options,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("row", results.ROWS, ids=lambda row: row.name)
def test_each_row_is_a_command_that_compare_can_read_and_the_page_shows(row: results.Row) -> None:
    context = command.make_context("compare", shlex.split(row.arguments))
    names = re.split(r",(?![^(]*\))", context.params["encodings"])
    assert any(name.startswith("learned") for name in names)
    assert (context.params["seeds"] or "3") == "3"
    assert f"```\n{row.command}\n```" in PAGE


def test_every_kind_of_task_has_a_row_and_no_row_stands_alone_on_the_page() -> None:
    tasks = [command.make_context("", shlex.split(row.arguments)).params["task"] for row in results.ROWS]
    assert {"causal-lm", "masked-lm", "classify", "tag", "forecast", "images"} <= set(tasks) <= set(TASKS)
    assert len({"copy", "reverse", "addition", "parity", "sorting", "needle"} & set(tasks)) == 2
    assert any("--weights" in row.arguments for row in results.ROWS)
    assert len(re.findall(r"^milepost compare", PAGE, re.M)) == len(results.ROWS)
    assert "/work" not in PAGE
    assert "../" not in PAGE


def test_numbers_of_the_page_are_those_of_the_run(result: dict[str, Any]) -> None:
    page = results.render([(ROW, result)])
    [found] = [c for c in result["comparisons"] if c["length"] == 8]
    means = {
        name: sum(t["metrics"]["8"]["loss"] for t in result["trials"] if t["encoding"] == name) / 3
        for name in ("learned", "none")
    }
    assert f"| `learned` | {means['learned']:.3f} | – | baseline | | 128 |" in page
    difference = f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
    assert f"| {difference} | not converged | 0 |" in page
    assert f"{means['none']:.3f}" in page
    assert result["environment"]["torch"] in page
    assert result["recommendation"]["sentence"] in page


def test_another_result_is_another_page(result: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(result))
    for comparison in changed["comparisons"]:
        comparison |= {"difference": 9.5, "verdict": "worse"}
    assert "+9.500" in results.render([(ROW, changed)])
    assert "+9.500" not in results.render([(ROW, result)])


def test_a_withdrawn_row_says_why_in_place_of_its_verdict(result: dict[str, Any]) -> None:
    row = dataclasses.replace(ROW, withdrawn="The test part was empty.")
    page = results.render([(row, result)])
    summary = next(line for line in page.splitlines() if line.startswith("| [A tiny run]"))
    assert "*withdrawn*: The test part was empty." in summary
    assert result["recommendation"]["sentence"] not in summary
    assert "\n*withdrawn*: The test part was empty.\n" in page
    assert "withdrawn" not in results.render([(ROW, result)])


@pytest.mark.parametrize("row", results.ROWS, ids=lambda row: row.name)
def test_the_page_marks_the_rows_that_are_withdrawn(row: results.Row) -> None:
    (summary,) = [line for line in PAGE.splitlines() if line.startswith(f"| [{row.title}](#{row.name})")]
    assert (f"*withdrawn*: {row.withdrawn}" in summary) == bool(row.withdrawn)
    assert PAGE.count(f"*withdrawn*: {row.withdrawn}") >= 2 or not row.withdrawn


def test_a_trial_that_failed_is_named(result: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(result))
    changed["trials"][0] |= {"status": "failed", "reason": "no room", "metrics": {}, "measured": {}}
    page = results.render([(ROW, changed)])
    assert "5 of 6" in page
    assert "`learned`, seed 0: no room" in page


def test_rows_under_different_versions_are_refused(result: dict[str, Any]) -> None:
    other = result | {"environment": result["environment"] | {"torch": "0.1"}}
    with pytest.raises(SystemExit, match="different versions"):
        results.render([(ROW, result), (ROW, other)])


def test_another_command_runs_in_another_folder() -> None:
    other = results.Row("tiny", ROW.title, ROW.about, "--encodings learned,alibi")
    assert ROW.folder != other.folder
    assert ROW.folder == results.Row("tiny", "renamed", "", ROW.arguments).folder


def test_a_folder_that_is_not_there_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(tmp_path / "nowhere"), "--out", "page.md", "--only", "shakespeare"]
    monkeypatch.setattr(sys, "argv", ["results.py", *arguments])
    with pytest.raises(SystemExit, match="shakespeare: exit code"):
        results.main()
    assert not (tmp_path / "page.md").exists()
