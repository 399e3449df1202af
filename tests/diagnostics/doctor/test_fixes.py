"""Changes of JSON fields: one value, whole files, never elsewhere."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.diagnostics.doctor import FieldChange, apply_fixes, diagnose, plan_fixes
from milepost.errors import DataError, FolderError, OptionError, UnsafeFile
from milepost.storage.json_edits import replace_value

sys.path.insert(0, str(Path(__file__).parent))  # the folders are a module beside the tests
from folders import BERT, ROWS, make_folder

LIMIT = FieldChange("tokenizer_config.json", "model_max_length", None, ROWS)
WINDOWS = os.name == "nt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "model", BERT, tokenizer_config={})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_plan_from_the_report_is_the_plan_from_the_model(folder: Path) -> None:
    report = json.loads(json.dumps(diagnose(folder)))
    assert plan_fixes(report) == plan_fixes(folder) == [LIMIT]


def test_planning_writes_nothing(folder: Path) -> None:
    before = contents(folder)
    plan_fixes(folder)
    assert contents(folder) == before


def test_everything_but_the_value_stays_byte_for_byte(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    raw = b'\xef\xbb\xbf{\r\n\t"b" : 1.50, "model_max_length":1e30 ,\r\n\t"\\u00e9": [1,2],"c":"\xc3\xa9"}\r\n\r\n'
    path.write_bytes(raw)
    (change,) = plan_fixes(folder)
    assert apply_fixes(folder, [change]) == ["tokenizer_config.json"]
    assert path.read_bytes() == raw.replace(b"1e30", b"32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", '{"model_max_length": 32}'),
        ('{\n  "a": {}\n}\n', '{\n  "a": {},\n  "model_max_length": 32\n}\n'),
        ('{"a": "}"}', '{"a": "}", "model_max_length": 32}'),
    ],
)
def test_a_missing_field_takes_the_style_of_its_object(text: str, expected: str) -> None:
    assert replace_value(text, ["model_max_length"], 32) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), json_values),
    st.text(),
    st.integers() | st.none(),
    st.sampled_from([None, 0, 2, "\t"]),
    st.booleans(),
)
def test_a_replaced_value_is_all_that_changes(
    document: dict[str, object], name: str, value: object, indent: int | str | None, plain: bool
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=plain)
    changed = json.loads(replace_value(text, [name], value))
    assert changed == document | {name: value}
    nested = json.loads(replace_value(f'{{"outer": {text}}}', ["outer", name], value))
    assert nested == {"outer": changed}


def test_a_field_inside_what_is_no_object_is_refused() -> None:
    for text in ('{"a": 1}', "{}", "[]"):
        with pytest.raises(UnsafeFile, match="no place in its file"):
            replace_value(text, ["a", "b"], 1)


@pytest.mark.skipif(WINDOWS, reason="POSIX permissions")
def test_the_mode_is_kept_and_nothing_is_left_beside(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.chmod(0o640)
    names = sorted(folder.iterdir())
    apply_fixes(folder, [LIMIT])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(folder.iterdir()) == names


def test_a_plan_that_is_out_of_date_writes_nothing(folder: Path) -> None:
    before = contents(folder)
    good = FieldChange("config.json", "max_position_embeddings", ROWS, 64)
    for stale in (FieldChange("tokenizer_config.json", "model_max_length", 99, ROWS), LIMIT.__class__("tokenizer_config.json", "model_max_length", False, 1)):  # fmt: skip
        with pytest.raises(DataError, match="no longer holds"):
            apply_fixes(folder, [good, stale])
        assert contents(folder) == before


def test_two_changes_of_one_file_are_one_writing(folder: Path) -> None:
    changes = [LIMIT, FieldChange("tokenizer_config.json", "max_length", None, 8)]
    assert apply_fixes(folder, changes) == ["tokenizer_config.json"]
    assert json.loads((folder / "tokenizer_config.json").read_text()) == {
        "model_max_length": ROWS,
        "max_length": 8,
    }


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "model.safetensors", "notes.json", ""])
def test_other_files_are_never_touched(name: str, folder: Path) -> None:
    with pytest.raises(OptionError, match="not mended"):
        apply_fixes(folder, [FieldChange(name, "a", None, 1)])


@pytest.mark.skipif(WINDOWS, reason="links need a privilege")
@pytest.mark.parametrize("inside", [True, False])
def test_a_link_is_never_written_through(inside: bool, folder: Path, tmp_path: Path) -> None:
    path = folder / "tokenizer_config.json"
    target = (folder if inside else tmp_path) / "real.json"
    path.rename(target)
    path.symlink_to(target)
    with pytest.raises(FolderError, match="link"):
        apply_fixes(folder, [LIMIT])
    assert path.is_symlink()
    assert target.read_text() == "{}"


def test_a_hub_cache_is_read_but_never_written(tmp_path: Path) -> None:
    snapshot = make_folder(tmp_path / "models--org--name" / "snapshots" / "abc", BERT, tokenizer_config={})
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir()
    linked = snapshot / "tokenizer_config.json"
    linked.rename(blobs / "123")
    linked.symlink_to(Path("..") / ".." / "blobs" / "123")
    assert plan_fixes(snapshot) == [LIMIT]
    for change in (LIMIT, FieldChange("config.json", "max_position_embeddings", ROWS, 64)):
        with pytest.raises(FolderError, match="Hub cache"):
            apply_fixes(snapshot, [change])
    assert (blobs / "123").read_text() == "{}"


def test_a_hard_link_keeps_its_old_content_elsewhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    os.link(folder / "tokenizer_config.json", elsewhere)
    apply_fixes(folder, [LIMIT])
    assert elsewhere.read_text() == "{}"


def test_a_write_that_fails_leaves_the_old_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match="No space left"):
        apply_fixes(folder, [LIMIT, FieldChange("config.json", "max_position_embeddings", ROWS, 64)])
    monkeypatch.undo()
    assert contents(folder) == before


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="only a local folder"):
        apply_fixes("organisation/name", [LIMIT])
    with pytest.raises(OptionError, match="no report"):
        plan_fixes({"findings": []})
    with pytest.raises(OptionError, match="no report"):
        plan_fixes({"changes": [{"path": "x"}]})


def test_no_changes_write_nothing(folder: Path) -> None:
    before = contents(folder)
    assert apply_fixes(folder, []) == []
    assert contents(folder) == before
