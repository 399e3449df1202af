"""Each encoding has its row in the documentation and names its source."""

import inspect
import re
from pathlib import Path

import pytest

from milepost.encodings import registered

PAGE = Path(__file__).parents[2] / "docs" / "encodings.md"


def rows(text):
    return {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)[^|]*\|.*$", text, re.MULTILINE)}


def missing(text):
    """Encodings without a row, and options that their row leaves out."""
    found = rows(text)
    lacks = [name for name in registered() if name not in found]
    for name, cls in registered().items():
        lacks += [f"{name}({option})" for option in cls.defaults if f"`{option}=" not in found.get(name, "")]
    return lacks


def test_every_encoding_and_option_has_its_place_in_the_table():
    text = PAGE.read_text(encoding="utf-8")
    assert missing(text) == []
    assert set(rows(text)) == set(registered())


def test_the_gate_notices_a_missing_row_and_a_missing_option():
    text = PAGE.read_text(encoding="utf-8")
    assert {"rotary", "rotary(theta)"} <= set(missing(text.replace("| `rotary", "| rotary")))
    assert "t5(buckets)" in missing(text.replace("`buckets=32`", ""))


@pytest.mark.parametrize("name", registered())
def test_every_encoding_names_its_source(name):
    assert "Source:" in inspect.getdoc(registered()[name])
