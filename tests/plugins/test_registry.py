from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.errors import OptionError, PluginError, UnknownName
from milepost.plugins import Registry

from .conftest import MODULE, Install

Things = Registry[Any]


def test_an_installed_package_is_imported_when_its_name_is_used(things: Things, install: Install) -> None:
    install("mine_package", MODULE.format(name="mine"), ("mine",))
    assert things.find("ours").__name__ == "Fraction"
    with pytest.raises(UnknownName, match=r"did you mean mine\?.*--import FILE\.py"):
        things.find("mime")
    assert "mine_package" not in sys.modules  # offering a name takes no import
    assert list(things.loaded()) == ["ours"]
    assert things.find("mine").__module__ == "mine_package"
    assert vars(things.find("mine"))["name"] == "mine"


def test_a_listing_imports_all_of_them(things: Things, install: Install) -> None:
    install("a_package", MODULE.format(name="a"), ("a",))
    install("b_package", MODULE.format(name="b"), ("b",))
    assert list(things.everything()) == ["ours", "a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import absent_module", "No module named 'absent_module'"),
        ("def", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (MODULE.format(name="ours"), "OptionError: this thing's name is taken"),
        (MODULE.format(name="My Thing"), "cannot be the name of a thing"),
        (MODULE.format(name="mine") + "raise ValueError('late')", "ValueError: late"),
        ("Thing = 1", "mine, in module broken"),
    ],
)
def test_a_broken_package_is_one_error_that_names_it(
    text: str, said: str, things: Things, install: Install
) -> None:
    install("broken", text, ("mine",))
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            things.find("mine")
    assert caught.value.got.startswith("broken 1.0")
    assert said in caught.value.got
    assert list(things.loaded()) == ["ours"]


def test_a_name_in_a_file_imports_nothing(things: Things, install: Install) -> None:
    install("a_package", MODULE.format(name="mine"), ("mine",))
    said = r"what a file names is never imported\n.*mine, of a.package 1\.0\n.*--import a_package, in Python imports='a_package'"
    with pytest.raises(PluginError, match=said):
        things.find("mine", in_file=True)
    assert "a_package" not in sys.modules
    assert things.find("mine") is things.find("mine", in_file=True)  # it is imported now


def test_two_packages_of_one_name_are_refused(things: Things, install: Install) -> None:
    install("a_package", MODULE.format(name="mine"), ("mine",))
    install("b_package", MODULE.format(name="mine"), ("mine",))
    with pytest.raises(PluginError, match=r"mine: a.package 1\.0, b.package 1\.0"):
        things.find("mine")
    assert not {"a_package", "b_package"} & sys.modules.keys()


def test_a_name_of_ours_is_never_replaced(things: Things, install: Install) -> None:
    install("bold", MODULE.format(name="ours"), ("ours",))
    assert things.find("ours").__name__ == "Fraction"
    assert "bold" not in sys.modules
    with pytest.raises(PluginError, match=r"ours: bold 1\.0, Milepost"):
        things.everything()
    with pytest.raises(OptionError, match="taken"):
        things.register("ours")(type("Fraction", (), {}))


def test_a_package_in_the_current_directory_offers_nothing(
    things: Things, install: Install, tmp_path: Path
) -> None:
    install("mine_package", MODULE.format(name="mine"), ("mine",), into=tmp_path / "here")
    with pytest.raises(UnknownName):
        things.find("mine")
    assert list(things.everything()) == ["ours"]
    assert "mine_package" not in sys.modules


def test_a_class_gives_way_to_a_later_version_of_itself_alone(things: Things) -> None:
    def define(name: str) -> type:
        return type(name, (), {"__module__": "somewhere", "__qualname__": name})

    first, edited = define("Mine"), define("Mine")
    things.register("mine")(first)
    things.register("mine")(edited)
    assert things.find("mine") is edited
    with pytest.raises(OptionError, match="taken"):
        things.register("mine")(define("Other"))
