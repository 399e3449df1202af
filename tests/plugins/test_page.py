"""The page about code of one's own shows what the other tests run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "plugins.md").read_text("utf-8")
PACKAGE = HERE / "package" / "src" / "milepost_example"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize(
    ("block", "file"),
    [
        (0, HERE / "my_encoding.py"),
        (2, PACKAGE / "successor.py"),
        (3, PACKAGE / "last_row.py"),
        (4, HERE / "my_table.py"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_its_files_are_the_tested_ones(block: int, file: Path) -> None:
    text = file.read_text("utf-8")
    assert blocks("python")[block].strip() == re.sub(r'^""".*?"""\n', "", text, flags=re.S).strip()


def test_its_entry_points_are_those_of_the_package() -> None:
    shown = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
    held = tomllib.loads((HERE / "package" / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    assert shown == held


def test_its_encoding_passes_the_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_encoding.py").write_text(blocks("python")[0])
    exec(compile(blocks("python")[1], "plugins.md", "exec"), {})
