"""The documentation's table of encodings is the catalogue's; ``python tests/encodings/test_documentation.py`` writes it."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from milepost.catalog import BUILT_IN, EncodingRow, find_row
from milepost.encodings import registered
from milepost.options import Option, number, whole, word

PAGE = Path(__file__).parents[2] / "docs" / "encodings.md"
TABLE = re.compile(r"(?<=\|---\|---\|---\|---\|---\|---\|\n)(\| `.*\n)+")


def render_option(key: str, option: Option) -> str:
    """An option with its default, and what else it takes."""
    others = [f"`{one}`" for one in option.words if one != option.default]
    if "number" in option.kind:
        limits = option.allowed.split("number")[1].strip(" ,")
        even = "even, " if option.even else ""
        others += (
            [f"{even if limits else 'a number'}{limits}"]
            if not option.words
            else [f"a number {limits}".strip()]
        )
    text = "; ".join(part for part in (", ".join(others), option.note) if part)
    start = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
    return f"`{key}={start}`" + (f" ({text})" if text else "")


def render_row(row: EncodingRow) -> str:
    """One encoding as the page shows it."""
    options = ", ".join(render_option(key, one) for key, one in row.options.items()) or "none"
    place = "as inside" if row.inner else row.place + (", images" if "grid" in row.needs else "")
    cells = (f"`{row.name}`", options, place, row.usable_text, row.scale_text, row.paper)
    return "| " + " | ".join(cells) + " |\n"


def render_table() -> str:
    """All encodings of the package."""
    return "".join(render_row(row) for row in BUILT_IN.values())


def test_the_table_is_the_catalogues():
    found = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found[0] == render_table(), f"run: python {__file__}"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (number("auto", "raw", least=0), "`k=auto` (`raw`, a number 0 or more)"),
        (number(10000.0, above=1), "`k=10000` (above 1)"),
        (number("auto", above=0, most=1), "`k=auto` (a number above 0 and at most 1)"),
        (whole(32, least=2, even=True), "`k=32` (even, 2 or more)"),
        (whole(0, least=0, note="full"), "`k=0` (0 or more; full)"),
        (word("off", "on"), "`k=off` (`on`)"),
    ],
)
def test_an_option_is_shown_with_its_default_and_its_limits(option, text):
    assert render_option("k", option) == text


def test_the_gate_notices_a_changed_row():
    row = find_row("t5")
    assert render_row(replace(row, options={})) != render_row(row)


def missing(row: EncodingRow) -> list[str]:
    """What a built-in encoding still needs."""
    cls, lacks = registered().get(row.name), []
    if cls is None:
        return [f"a class: @register(find_row({row.name!r})), imported in encodings/__init__.py"]
    if row.cost is None and not row.inner:
        lacks.append("a cost formula in catalog/costs.py")
    if not row.paper:
        lacks.append("its paper, for the documentation")
    if "Source:" not in (inspect.getdoc(cls) or ""):
        lacks.append("its source in the docstring: Source: ...")
    given = inspect.signature(cls).parameters
    lacks += [
        f"the default of {key} in __init__, {given[key].default!r}, is not the row's"
        for key, option in row.options.items()
        if key in given
        and given[key].default is not inspect.Parameter.empty
        and not isinstance(given[key].default, bool)
        and str(option.default) not in ("auto", str(given[key].default))
    ]
    return lacks


@pytest.mark.parametrize("name", BUILT_IN)
def test_nothing_is_missing_from_a_built_in_encoding(name):
    assert missing(find_row(name)) == []


def test_the_gate_names_what_is_missing():
    assert "class" in missing(EncodingRow("nowhere"))[0]
    bare = EncodingRow("t5", {"buckets": whole(64, least=2)})
    assert [part.split()[1] for part in missing(bare)] == ["cost", "paper,", "default"]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda found: render_table(), text), encoding="utf-8")
