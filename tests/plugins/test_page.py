"""The page about code of one's own shows what the other tests run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from milepost.catalog import Sizes
from milepost.options import SpecOptions

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "plugins.md").read_text("utf-8")
PACKAGE = HERE / "package" / "src" / "milepost_example"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize(
    ("block", "file"),
    [
        (0, HERE / "my_encoding.py"),
        (3, PACKAGE / "successor.py"),
        (4, PACKAGE / "last_row.py"),
        (5, HERE / "my_table.py"),
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


def test_its_formulas_price_its_encoding() -> None:
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[1], "plugins.md", "exec"), names)
    sizes, options = Sizes(layers=2, dim=32, heads=8, kv_heads=8, head_dim=4, max_len=16), SpecOptions({})
    assert names["cost"].parameters(sizes, options) == 8  # one slope per head
    assert names["cost"].work(sizes, options, 10).operations(layers=2) == 2 * 4 * 8 * 10 * 10


def test_its_encoding_passes_the_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_encoding.py").write_text(blocks("python")[0])
    exec(compile(blocks("python")[2], "plugins.md", "exec"), {})
