from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.cli import main

SMALL = [
    "--steps",
    "4",
    "--batch",
    "2",
    "--layers",
    "1",
    "--dim",
    "16",
    "--heads",
    "2",
    "--train-length",
    "8",
]
SMALL += ["--lengths", "8,16", "--workers", "1"]


def milepost(*words: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "80"}
    command = [sys.executable, "-m", "milepost", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("cli")
    return folder, milepost(
        "compare", *SMALL, "--encodings", "learned,none", "--seeds", "1", "--out", "run", cwd=folder
    )


def test_a_run_ends_with_a_table_on_stdout_and_the_page_named_on_stderr(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, finished = done
    assert finished.returncode == 0, finished.stderr
    assert "learned" in finished.stdout
    assert "\x1b" not in finished.stdout
    assert all(len(line) <= 80 for line in finished.stdout.splitlines())
    assert f"report: {Path('run') / 'report.html'}" in finished.stderr
    assert "2/2 trials" in finished.stderr
    assert (folder / "run" / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_json_is_one_document_and_a_second_call_trains_nothing(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    words = ["--encodings", "learned,none", "--seeds", "1", "--out", "run", "--json", "--html", "page.html"]
    again = milepost("compare", *SMALL, *words, cwd=done[0])
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert result == json.loads((done[0] / "run" / "result.json").read_text())
    assert [[step for step, _ in trial["training_loss"]] for trial in result["trials"]] == [[1, 2, 3, 4]] * 2
    assert "2 of 2 trials are in run already" in again.stderr
    assert (done[0] / "page.html").exists()


def test_the_command_in_the_result_makes_the_same_design(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    import shlex

    command = json.loads((done[0] / "run" / "result.json").read_text())["spec"]["command"]
    again = milepost(*shlex.split(command)[1:], "--out", "run", "--quiet", cwd=done[0])
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["compare", "--encodings", "rotery"], 2, "did you mean rotary?"),
        (["compare", "--encodings", "rotary("], 2, "[MP103]"),
        (["compare", "--seeds", "0"], 2, "[MP105]"),
        (["compare", "--seeds", "many"], 2, "seeds are whole numbers"),
        (["compare", "--steps", "many"], 2, "[MP105]"),
        (["compare", "--no-such-option"], 2, "see milepost compare --help"),
        (["compare", "--log", "tensorbord:logs"], 2, "did you mean tensorboard?"),
        (["compair"], 2, "did you mean compare?"),
        (["compare", "nowhere.txt"], 3, "[MP110]"),
        (["compare", "--model", "mine", "--dim", "32"], 2, "brings its sizes"),
    ],
)
def test_bad_input_is_three_lines_and_the_right_exit_code(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    shown = capsys.readouterr()
    assert ended.value.code == code
    assert shown.out == ""
    assert said in shown.err
    assert len(shown.err.splitlines()) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.crash
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interruption_says_what_is_kept_and_the_next_call_continues(tmp_path: Path) -> None:
    words = ["compare", *SMALL, "--steps", "400", "--encodings", "none,alibi", "--seeds", "1", "--out", "run"]
    command = [sys.executable, "-m", "milepost", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("1/2 trials"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "1 of 2 trials of this call are finished and kept in run; the same command continues" in rest
    assert "Traceback" not in rest
    again = milepost(*words, "--quiet", cwd=tmp_path)
    assert again.returncode == 0
    assert len(list(tmp_path.rglob("trial.json"))) == 2


def test_the_help_names_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    from milepost.tasks import TASKS

    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in TASKS)


def test_files_that_need_an_option_are_read_with_it_and_notes_are_shown(tmp_path: Path) -> None:
    rows = [f"{'été ' * 9}{number}\t{number % 2}" for number in range(40)]
    (tmp_path / "a.tsv").write_bytes("\n".join(["text\tlabel", *rows]).encode("cp1252"))
    words = [
        "compare",
        "a.tsv",
        "--task",
        "classify",
        *SMALL,
        "--encodings",
        "none",
        "--seeds",
        "1",
        "--dry-run",
    ]
    refused = milepost(*words, cwd=tmp_path)
    assert refused.returncode == 3 and "--encoding cp1252" in refused.stderr
    read = milepost(*words, "--encoding", "cp1252", cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    shown = " ".join(read.stdout.split())
    assert "Note: 40 of 40 documents are longer than the training length of 8 char tokens" in shown


def test_a_table_of_one_series_per_row_is_read_and_a_value_filled_on_request(tmp_path: Path) -> None:
    head = ",".join(["id", *(f"t{at}" for at in range(60))])
    rows = [
        ",".join([f"s{row}", *("" if at == 30 else str(at % 7 + row) for at in range(60))])
        for row in range(3)
    ]
    (tmp_path / "wide.csv").write_text("\n".join([head, *rows]))
    words = [
        "compare",
        "wide.csv",
        "--task",
        "forecast",
        "--patch",
        "1",
        "--horizon",
        "2",
        *SMALL[:10],
        "--seeds",
        "1",
    ]
    words += ["--train-length", "4", "--lengths", "4", "--encodings", "none", "--dry-run", "--json"]
    refused = milepost(*words, cwd=tmp_path)
    assert refused.returncode == 3 and "--fill previous" in refused.stderr
    result = json.loads(milepost(*words, "--fill", "previous", "--layout", "rows", cwd=tmp_path).stdout)
    assert result["spec"]["data"]["layout"] == "one series per row"
    assert "--fill previous" in result["spec"]["command"] and "--layout rows" in result["spec"]["command"]
    assert "3 of 180 values were missing and are filled (previous)." in result["notes"]
