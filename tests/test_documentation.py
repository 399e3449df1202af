"""The pages keep up with the code."""

from __future__ import annotations

import importlib
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def names(requirements: list[object]) -> set[str]:
    found = {re.split(r"[\[<>=!~; ]", text)[0] for text in requirements if isinstance(text, str)}
    return found - {"milepost"}


def test_each_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    explained = set(re.findall(r"^\| ([\w-]+) \| .{10,}", page, re.M)) - {"package"}
    wanted = names(PROJECT["project"]["dependencies"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted |= names(extra)
    for group in PROJECT["dependency-groups"].values():
        wanted |= names(group)
    assert explained == wanted


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_the_first_screen_of_the_readme_holds_command_output_and_python() -> None:
    first = (ROOT / "README.md").read_text("utf-8").splitlines()[:25]
    text = "\n".join(first)
    assert "milepost compare" in text
    assert "import milepost" in text
    assert text.count("```") >= 4


def test_the_readme_names_every_verb_of_the_command_line() -> None:
    from milepost.cli import VERBS

    readme = (ROOT / "README.md").read_text("utf-8")
    assert [verb for verb in VERBS if f"milepost {verb}" not in readme] == []


def test_python_blocks_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_ten_minute_encoding_of_the_contributing_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from milepost.encodings import base
    from milepost.models import ModelShape, build_scratch

    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A new check")[0]
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    for index, block in enumerate(blocks):
        (tmp_path / f"root_bias_{index}.py").write_text(textwrap.dedent(block))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(base._REGISTRY, "_known", {**base._REGISTRY._known})
    for index in range(len(blocks)):
        importlib.import_module(f"root_bias_{index}")  # the second runs the battery on the first
    spec = "root-bias(start=0.5)"
    model = build_scratch("causal-lm", ModelShape(1, 16, 2, 0.1, 8, 16), encoding=spec, seed=0)
    assert model.base_model.milepost.slopes.tolist() == [0.5, 0.5]
