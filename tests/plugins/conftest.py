"""A distribution that is installed without a network: its files, and the metadata that an installer would write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from milepost import tasks
from milepost.encodings import base as encodings
from milepost.extension.methods import base as methods
from milepost.plugins import Registry

collect_ignore = [
    "package",
    "my_encoding.py",
]  # what a user would write; it is imported when Milepost is told to
Install = Callable[..., None]
MODULE = """
from shelf import things

@things.register("{name}")
class Thing:
    pass
"""


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports and registers is gone after it."""
    for registry in (encodings._REGISTRY, methods._REGISTRY, tasks._REGISTRY):
        monkeypatch.setattr(registry, "_known", {**registry._known})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("milepost_import_"):
            del sys.modules[name]


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    """A registry with one class of ours; modules import it from ``shelf``."""
    made: Registry[object] = Registry("thing", "milepost.things", {"ours": "fractions:Fraction"})
    shelf = ModuleType("shelf")
    vars(shelf)["things"] = made
    monkeypatch.setitem(sys.modules, "shelf", shelf)
    return made


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages on the import path; before it the current directory, another folder."""
    folder, here = tmp_path / "site", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", ["", str(folder), *sys.path])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Install a distribution with one module, and entry points of the group of ``things`` by name."""

    def put(name: str, text: str, points: tuple[str, ...], *, into: Path = site) -> None:
        (into / f"{name}.py").write_text(text)
        info = into / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{point} = {name}:Thing" for point in points]
        (info / "entry_points.txt").write_text("\n".join(["[milepost.things]", *lines]) + "\n")

    return put
