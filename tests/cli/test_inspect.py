from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import milepost
from milepost.cli import main


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Half of its rows follow a path, half are as they started: an issue."""
    rng = np.random.default_rng(0)
    turns = 2 * np.pi * np.arange(128)[:, None] / 256 * np.arange(1, 5)
    rows = np.hstack([np.cos(turns), np.sin(turns)]) @ rng.normal(size=(8, 32))
    rows[64:] = 0.02 * rng.normal(size=(64, 32))
    np.save(tmp_path / "table.npy", rows.astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "table.npy"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


WORDS = ["table.npy", "--first-row", "0"]


def test_findings_are_information_and_exit_with_0(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*WORDS) == 0
    shown = capsys.readouterr()
    assert "issue MP201" in shown.out
    assert shown.err == ""
    assert max(map(len, shown.out.splitlines())) <= 80


def test_json_is_the_document_of_the_library_and_nothing_else(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*WORDS, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads(json.dumps(milepost.inspect("table.npy", first_row=0)))
    assert shown.err == ""


def test_page_and_picture_are_written_whole_and_named(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*WORDS, "--html", "out/page.html", "--png", "out/table.png", "--json") == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["written: out/page.html", "written: out/table.png"]
    assert json.loads(shown.out)["tables"]
    assert Path("out/page.html").read_text("utf-8").startswith("<!doctype html>")
    assert Path("out/table.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path("out").iterdir()) == ["page.html", "table.png"]


def test_quiet_says_nothing(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*WORDS, "--quiet", "--html", "page.html") == 0
    assert capsys.readouterr() == ("", "")
    assert Path("page.html").exists()


def test_compare_says_which_rows_moved(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.load(table)
    rows[3] += 1
    np.save("other.npy", rows)
    assert run(*WORDS, "--compare", "other.npy") == 0
    assert "moved: position 3\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no/such/model"], 3, "[MP110]"),
        (["table.npy"], 2, "--first-row 0"),
        (["table.npy", "--first-row", "-1"], 2, "[MP105]"),
        (["table.npy", "--first-row", "many"], 2, "see milepost inspect --help"),
        (["broken.safetensors"], 3, "[MP130]"),
        ([*WORDS, "--compare", "narrow.npy"], 2, "no position table in common"),
        ([*WORDS, "--html", "table.npy/page.html"], 2, "[MP107]"),
        (["zero.npy", "--first-row", "0", "--png", "x.png"], 3, "[MP122]"),
        ([*WORDS, "--revision", "main"], 2, "[MP105]"),
        ([], 2, "see milepost inspect --help"),
    ],
)
def test_bad_input_is_three_lines_with_its_exit_code_and_nothing_is_written(
    table: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.safetensors").write_bytes(b"\xff" * 64)
    np.save("narrow.npy", np.zeros((8, 4), np.float32))
    np.save("zero.npy", np.full((8, 4), np.nan, np.float32))
    before = {path.name: path.read_bytes() for path in table.parent.iterdir()}
    wants_page = [] if "--html" in words or not words else ["--html", "page.html"]
    assert run(*words, *wants_page) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert len(shown.err.splitlines()) == 3
    assert {path.name: path.read_bytes() for path in table.parent.iterdir()} == before


HEAVY = {"torch", "transformers", "scipy", "matplotlib", "jinja2", "huggingface_hub", "jaxtyping", "asyncio"}


def loaded(folder: Path, *words: str) -> tuple[set[str], str]:
    """Modules that a process of the verb ends with, and its output."""
    program = (
        "import atexit, sys\n"
        "from milepost.cli import main\n"
        "atexit.register(lambda: print(*sys.modules, file=open('modules', 'w')))\n"
        f"main({['inspect', *words]!r})\n"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set((folder / "modules").read_text().split()), done.stdout


def test_a_summary_loads_nothing_heavy_and_an_ascii_pipe_can_carry_it(table: Path) -> None:
    modules, output = loaded(table.parent, *WORDS)
    assert "numpy" in modules
    assert not modules & HEAVY
    assert output.isascii()
    assert "##" in output


def test_a_page_would_be_seen_to_load_more(table: Path) -> None:
    modules, _ = loaded(table.parent, *WORDS, "--html", "page.html", "--json")
    assert {"jinja2", "matplotlib"} <= modules
    assert "rich" not in modules


def test_a_model_without_a_table_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 64}')
    save_file({"model.embed_tokens.weight": np.zeros((8, 4), np.float32)}, tmp_path / "model.safetensors")
    assert run(str(tmp_path)) == 0
    assert "No position table" in capsys.readouterr().out
