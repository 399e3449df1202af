from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

from milepost.api import extend as verb
from milepost.cli import main
from milepost.reporting import read_schema


@pytest.fixture
def gpt2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_positions": 16}')
    (folder / "pytorch_model.bin").write_bytes(b"x")
    save_file(
        {"wpe.weight": np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)},
        folder / "model.safetensors",
    )
    return folder


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["extend", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_result_is_said_and_the_folder_has_a_name_of_its_own(
    gpt2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gpt2", "--to", "40") == 0
    text, aside = capsys.readouterr()
    assert "no method is best for every model" in aside
    assert "--choose DATA" in aside
    assert "Extended 16 to 40 positions" in text
    assert "model.safetensors: table wpe.weight: 16 × 4 -> 40 × 4" in text
    assert "config.json: n_positions: 16 -> 40" in text
    assert "not copied: pytorch_model.bin" in text
    assert "passed old rows: 16 rows are the same bytes as before" in text
    assert "rows 0..n-1 are bit-identical" in text
    assert json.loads((gpt2.parent / "gpt2-40" / "config.json").read_text())["n_positions"] == 40


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--verify", "none")])
def test_json_is_one_document_that_fits_its_schema(
    words: tuple[str, ...], gpt2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gpt2", "--to", "40", "--out", "new", "--json", *words) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(read_schema("extend")).validate(document)
    assert document["written"] == (gpt2.parent / "new").exists() == ("--dry-run" not in words)
    assert (len(document["checks"]) > 2) == (words == ())


@pytest.mark.parametrize(
    ("path", "value"), [("unit", "rows"), ("to_length", [1]), ("changes", []), ("checks", [{"name": "x"}])]
)
def test_the_schema_refuses_a_wrong_value(path: str, value: object, gpt2: Path) -> None:
    document = verb.extend(gpt2, to=40, dry_run=True) | {path: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(read_schema("extend")).validate(document)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("gpt2", "--to", "16"), 2, "not larger"),
        (("gpt2", "--to", "40", "--method", "tyle"), 2, "did you mean tile"),
        (("gpt2", "--to", "40", "--method", "bicubic"), 2, "bicubic"),
        (("gpt2", "--to", "40", "--out", "gpt2"), 2, "is the source"),
        (("gpt2", "--to", "40", "--verify", "all"), 2, "none, files, model"),
        (("gpt2", "--to", "40", "--tensor", "wte"), 3, "wte"),
        (("nowhere/at/all", "--to", "40"), 3, "no such model"),
        (("gpt2",), 2, "--to"),
    ],
)
def test_bad_input_is_one_error_and_nothing_is_written(
    words: tuple[str, ...], code: int, said: str, gpt2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(gpt2.parent.rglob("*"))
    assert run(*words) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert sorted(gpt2.parent.rglob("*")) == before


def test_a_new_finding_of_the_doctor_is_exit_one_and_the_folder_stays(
    gpt2: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from milepost.extension import model_proofs as proofs

    seen = iter([{("MP301", "config.json"): "another number"}, {}])  # the new folder is looked at first
    monkeypatch.setattr(proofs, "_issues", lambda model: next(seen))
    assert run("gpt2", "--to", "40", "--out", "new") == 1
    assert "failed doctor: MP301 another number" in capsys.readouterr().out
    assert (gpt2.parent / "new").exists()


@pytest.mark.parametrize("words", [("--method", "tile"), ("--method", "hierarchical(alpha=0.1)")])
def test_a_method_that_was_named_is_not_commented_on(
    words: tuple[str, ...], gpt2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gpt2", "--to", "40", *words) == 0
    assert capsys.readouterr().err == ""


def test_quiet_prints_nothing(gpt2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("gpt2", "--to", "40", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_names_from_files_cannot_steer_the_terminal(gpt2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gpt2 / "\x1b[31mred.onnx").write_bytes(b"x")
    assert run("gpt2", "--to", "40") == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_no_torch_is_loaded_and_none_for_help(gpt2: Path) -> None:
    script = """
import sys
from milepost.cli import cli
import click.testing
run = click.testing.CliRunner().invoke
assert run(cli, ["extend", "--help"]).exit_code == 0
assert not {"numpy", "rich", "torch", "milepost.tuning"} & set(sys.modules)
assert run(cli, ["extend", "gpt2", "--to", "40"], catch_exceptions=False).exit_code == 0
assert not {"torch", "transformers", "scipy", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=gpt2.parent
    )
    assert done.returncode == 0, done.stderr
