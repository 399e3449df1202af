from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from milepost.cli import main

TRUNCATION = {"max_length": 8, "strategy": "LongestFirst", "stride": 0}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A BERT of 16 positions whose tokenizer.json cuts at 8: one issue that can be mended."""
    folder = tmp_path / "model"
    folder.mkdir()
    rows = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    save_file({"embeddings.position_embeddings.weight": rows}, folder / "model.safetensors")
    documents = {
        "config": {"model_type": "bert", "max_position_embeddings": 16, "pad_token_id": 0},
        "tokenizer_config": {"model_max_length": 16},
        "tokenizer": {"version": "1.0", "truncation": TRUNCATION, "padding": None},
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=2))
    monkeypatch.chdir(tmp_path)
    return folder


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_issue_exits_with_1_and_is_named_with_the_limits(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(model)
    assert run("model") == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("Usable length 16: 1 issue")
    assert "issue MP309" in shown.out
    assert shown.err == ""
    assert contents(model) == before


def test_a_dry_run_prints_the_difference_and_writes_nothing(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(model.parent)
    assert run("model", "--fix", "--dry-run") == 1
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[:2] == ["--- a/tokenizer.json", "+++ b/tokenizer.json"]
    assert '-  "truncation": {' in lines
    assert '+  "truncation": null,' in lines
    assert shown.err.startswith("would change: tokenizer.json: truncation: {")
    assert contents(model.parent) == before


def test_a_difference_of_very_long_lines_is_cut(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"truncation": TRUNCATION, "padding": None, "vocabulary": ["word"] * 1000}
    (model / "tokenizer.json").write_text(json.dumps(document))
    assert run("model", "--dry-run") == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 450
    assert "[cut: " in lines[-1]


def test_fix_mends_says_what_it_changed_and_looks_again(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(model)
    assert run("model", "--fix") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Usable length 16: no issue found")
    assert shown.err == f"change: tokenizer.json: truncation: {json.dumps(TRUNCATION)} -> null\n"
    changed = {name for name, content in contents(model).items() if before[name] != content}
    assert changed == {str(model / "tokenizer.json")}
    assert json.loads((model / "tokenizer.json").read_text())["truncation"] is None
    assert run("model", "--fix", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_json_is_one_document_with_the_limits_and_the_changes(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("model", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["limits"]["usable"]["value"] == 16
    assert [change["field"] for change in found["changes"]] == ["truncation"]


def test_github_gets_annotations_alone(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "--format", "github") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("::error file=model/tokenizer.json,title=MP309 ")
    assert all(line.startswith(("::error ", "::warning ")) for line in lines)


def test_the_page_needs_no_matplotlib(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("model", "--quiet", "--html", "page.html") == 1
    assert "MP309" in Path("page.html").read_text("utf-8")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no/such/model"], 3, "[MP110]"),
        (["model", "--json", "--format", "github"], 2, "one output at a time"),
        (["model", "--json", "--dry-run"], 2, "one output at a time"),
        (["model", "--dry-run", "--html", "page.html"], 2, "writes nothing"),
        (["model", "--format", "xml"], 2, "see milepost doctor --help"),
        (["model", "--tokenizer", "model"], 2, "add --text FILE"),
        (["bad", "--fix", "--html", "page.html"], 3, "[MP130]"),
        (["model", "--html", "model/config.json/page.html"], 2, "[MP107]"),
    ],
)
def test_bad_input_is_three_lines_with_its_exit_code_and_nothing_is_written(
    model: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = model.parent / "bad"
    bad.mkdir()
    for path in model.iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    (bad / "tokenizer.json").write_text('{"truncation": [[')
    before = contents(model.parent)
    assert run(*words) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert len(shown.err.splitlines()) == 3
    assert contents(model.parent) == before
