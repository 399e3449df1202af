from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.errors import PluginError
from milepost.plugins import Registry, complete, load_code, place_of, read_code

from .conftest import MODULE, Install

Things = Registry[Any]


@pytest.fixture
def file(site: Path) -> Path:
    path = site.parent / "mine.py"
    path.write_text(MODULE.format(name="mine"))
    return path


def test_a_file_is_loaded_once_and_again_when_it_changed(things: Things, file: Path) -> None:
    code = read_code(file)
    assert (code[0].name, code[0].path, len(code[0].sha256)) == ("mine.py", str(file), 64)
    load_code(code)
    first = things.find("mine")
    load_code(code)
    assert things.find("mine") is first
    file.write_text(MODULE.format(name="mine") + "    size = 2\n")
    load_code(read_code(file))
    assert things.find("mine").size == 2
    assert not list(file.parent.rglob("__pycache__"))


def test_a_relative_path_is_a_file_of_the_current_directory(things: Things, file: Path) -> None:
    assert read_code("../mine.py") == read_code([file, str(file)])
    assert read_code("../mine.py")[0].path == str(file)


def test_what_was_hashed_is_what_runs(things: Things, file: Path) -> None:
    code = read_code(file)
    file.write_text("raise AssertionError")
    with pytest.raises(PluginError, match=r"not what it was.*\n.*mine\.py: sha256"):
        load_code(code)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nraise ValueError('no')", "mine.py, line 2: ValueError: no"),
        (
            "from shelf import things\n@things.register('ours')\nclass Thing: pass",
            "line 2: OptionError: this thing's",
        ),
        ("x = 1\ndef", "mine.py: SyntaxError: invalid syntax, line 2: def"),
        ("import helper", "No module named 'helper'"),
    ],
)
def test_an_error_names_the_file_and_its_line(text: str, said: str, things: Things, file: Path) -> None:
    file.write_text(text)
    (file.parent / "here" / "helper.py").write_text("")  # the current directory does not help
    before = set(sys.modules)
    with pytest.raises(PluginError) as caught:
        load_code(read_code(file))
    assert said in caught.value.got
    assert not [name for name in set(sys.modules) - before if name.startswith("milepost_import_")]


def test_an_error_in_a_call_names_the_line_of_the_users_code(things: Things, file: Path) -> None:
    file.write_text(MODULE.format(name="mine") + "    def act(self):\n        return [].pop()\n")
    load_code(read_code(file))
    lines = file.read_text().splitlines()
    with pytest.raises(IndexError) as caught:
        things.find("mine")().act()
    error = caught.value.with_traceback(caught.tb.tb_next)  # without this test, which is not installed either
    assert place_of(error) == f"mine.py, line {len(lines)}"
    assert place_of(ValueError("raised nowhere")) == ""


def test_what_cannot_be_a_file_of_code_is_refused(file: Path) -> None:
    os.mkfifo(file.parent / "pipe.py")
    for path in ("absent.py", "pipe.py", "here/"):
        with pytest.raises(PluginError, match=r"cannot be read"):
            read_code(str(file.parent / path))
    with pytest.raises(PluginError, match="neither a file nor"):
        read_code("what is this")
    (file.parent / "here" / "mine.py").write_text("")
    with pytest.raises(PluginError, match=r"two imports have one name\n  got: mine\.py"):
        read_code([file, "mine.py"])


def test_a_module_is_never_that_of_the_current_directory(
    things: Things, install: Install, tmp_path: Path
) -> None:
    (tmp_path / "here" / "nearby.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(PluginError, match="no such installed module"):
        read_code("nearby")
    for name in ("mine_package", "helper"):  # what is installed is found behind them
        (tmp_path / "here" / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    install("helper", "", ())
    install("mine_package", "import helper\n" + MODULE.format(name="mine"), ())
    load_code(read_code("mine_package"))
    assert things.find("mine").__module__ == "mine_package"
    assert sys.path[0] == ""  # the user's own path is as it was
    assert not (tmp_path / "ran").exists()


def test_a_module_that_was_loaded_from_the_current_directory_is_not_taken_for_the_installed_one(
    install: Install, tmp_path: Path
) -> None:
    (tmp_path / "here" / "mine_package.py").write_text("")
    __import__("mine_package")
    install("mine_package", "", ())
    with pytest.raises(PluginError, match="another module of this name is loaded"):
        load_code(read_code("mine_package"))


def test_a_package_is_hashed_whole(things: Things, install: Install, site: Path) -> None:
    folder = site / "wide"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "part.py").write_text(MODULE.format(name="mine"))
    (first,) = read_code("wide.part")
    (folder / "notes.txt").write_text("no code")
    assert read_code("wide.part") == (first,)
    (folder / "other.py").write_text("")
    (second,) = read_code("wide.part")
    assert first.sha256 != second.sha256
    with pytest.raises(PluginError, match="not what it was"):
        load_code([first])
    load_code([second])
    assert things.find("mine").__module__ == "wide.part"


def test_classes_that_another_process_can_load_are_told_from_those_that_it_cannot(
    things: Things, install: Install, file: Path
) -> None:
    install("mine_package", MODULE.format(name="theirs"), ("theirs",))
    code = read_code(file)
    load_code(code)
    ours, mine, theirs = (things.find(name) for name in ("ours", "mine", "theirs"))
    assert [one.name for one in complete(code, [mine, theirs])] == ["mine.py", "mine_package"]
    assert complete(read_code("mine_package"), [theirs]) == read_code("mine_package")
    with pytest.raises(PluginError, match=r"mine: Thing of .*\n  fix: name the file: imports='.*/mine\.py'"):
        complete((), [mine])  # it was imported before, and not for this
    here = things.register("here")(type("Here", (), {"__module__": "__main__"}))
    with pytest.raises(PluginError, match="neither in a file that was named"):
        complete(code, [here])
    assert ours.__module__ == "fractions"
