"""What the verb doctor can do beyond looking: fix, show the difference, run, and write a page."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

import milepost
from milepost.errors import OptionError
from milepost.reporting import read_schema

TRUNCATION = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_positions": 16}')
    (folder / "tokenizer.json").write_text(json.dumps({"truncation": TRUNCATION, "padding": None}, indent=2))
    save_file({"wpe.weight": np.eye(16, 4, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def truncation(model: Path) -> object:
    return json.loads((model / "tokenizer.json").read_text())["truncation"]


def test_fix_writes_looks_again_and_says_what_was_changed(model: Path) -> None:
    before = milepost.doctor(model)
    found = milepost.doctor(model, fix=True)
    jsonschema.Draft202012Validator(read_schema("doctor")).validate(found)
    assert found["fixed"] == before["changes"] != []
    assert found["changes"] == []
    assert truncation(model) is None
    assert milepost.doctor(model, fix=True)["fixed"] == []


@pytest.mark.parametrize("fix", [True, False])
def test_a_dry_run_returns_the_difference_and_writes_nothing(fix: bool, model: Path) -> None:
    found = milepost.doctor(model, fix=fix, dry_run=True)
    jsonschema.Draft202012Validator(read_schema("doctor")).validate(found)
    assert found["difference"][:2] == ["--- a/tokenizer.json", "+++ b/tokenizer.json"]
    assert '+  "truncation": null,' in found["difference"]
    assert "fixed" not in found
    assert truncation(model) == TRUNCATION


def test_without_these_options_the_document_is_what_was_found(model: Path) -> None:
    assert not {"fixed", "difference"} & milepost.doctor(model).keys()


def test_a_page_is_written_and_named(model: Path, tmp_path: Path) -> None:
    written: list[str] = []
    milepost.doctor(model, html=tmp_path / "page.html", on_written=written.append)
    assert written == [str(tmp_path / "page.html")]
    assert "MP309" in (tmp_path / "page.html").read_text("utf-8")


def test_a_dry_run_writes_no_page(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="writes nothing"):
        milepost.doctor(model, dry_run=True, html=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_run_needs_a_folder(model: Path) -> None:
    with pytest.raises(OptionError, match="loads a folder"):
        milepost.doctor(model / "model.safetensors", run=True)
