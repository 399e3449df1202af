from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from milepost.api.cost import cost
from milepost.cli import main
from milepost.reporting import read_schema

BERT = {
    "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "max_position_embeddings": 512, "vocab_size": 30522,
}  # fmt: skip


@pytest.fixture
def bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps(BERT))
    return tmp_path / "bert"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *words])
    assert isinstance(ended.value.code, int)
    shown = capsys.readouterr()
    return ended.value.code, shown.out, shown.err


def test_a_table_of_encodings_with_the_models_own_first(
    bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "bert", "--lengths", "512,1024")
    assert (code, err) == (0, "")
    assert "512 × 768, 393,216 numbers" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("learned", "none"))]
    assert rows[0] == ["learned", "(present)", "393,216", "6.0", "MiB", "768", "0", "B"]
    assert rows[2][-2:] == ["–", "–"]
    assert all(len(line) <= 80 for line in out.splitlines())


def test_json_is_the_document_of_the_library_and_fits_the_schema(
    bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "bert/config.json", "--lengths", "64,600", "--max-len", "600", "--json")
    document = json.loads(out)
    assert code == 0
    assert document == cost("bert/config.json", lengths=[64, 600], max_len=600)
    jsonschema.Draft202012Validator(read_schema("cost")).validate(document)


def test_the_schema_refuses_what_is_no_count(bert: Path) -> None:
    document = cost(bert)
    document["encodings"][0]["parameters"] = -1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(read_schema("cost")).validate(document)


def test_encodings_are_those_asked_for(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(
        capsys, "bert", "--encodings", "learned(rank=64),t5(buckets=64,max_distance=256)", "--json"
    )
    found = {row["encoding"]: row["parameters"] for row in json.loads(out)["encodings"]}
    assert found == {"learned": 393216, "learned(rank=64)": 64 * 1280, "t5(buckets=64,max_distance=256)": 768}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("bert", "--lengths", "many"), 2),
        (("bert", "--lengths", "0"), 2),
        (("bert", "--encodings", "rotery"), 2),
        (("./nothing",), 3),
    ],
)
def test_what_cannot_be_priced_ends_with_three_lines(
    bert: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int
) -> None:
    got, out, err = run(capsys, *words)
    assert (got, out) == (code, "")
    assert len(err.splitlines()) == 3


def test_names_from_the_configuration_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a\x1b[31mb"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BERT))
    assert "\x1b" not in run(capsys, str(folder))[1]


def test_quiet_prints_nothing(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "bert", "--quiet") == (0, "", "")


def test_torch_is_not_imported(bert: Path) -> None:
    script = (
        "import sys, milepost\nmilepost.cost('bert')\nassert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=bert.parent)
