"""An inspect document on a page, as a picture and on a terminal, from tables with known properties."""

import copy
import io
import json
import re
import struct
import sys
import unicodedata

import numpy as np
import pytest
from pages import HOSTILE, Page, faults
from rich.console import Console

from milepost.api.inspect import inspect
from milepost.errors import MissingExtra, NoTable
from milepost.reporting import print_inspect, render_inspect_html, render_inspect_png
from milepost.reporting.figures.pixels import bars, half_blocks, shade

NAMES = ["sound", "cut", "tiny", "zero", "nan", "changed", "rotary"]


def make_rows(positions, dim=32, trained=None):
    """A slow path; from ``trained`` on, rows as they started."""
    rng = np.random.default_rng(0)
    angles = 2 * np.pi * np.arange(positions)[:, None] / 256 * np.arange(1, 5)
    rows = np.hstack([np.cos(angles), np.sin(angles)]) @ rng.normal(size=(8, dim)) + rng.normal(size=dim)
    rows[trained:] = 0
    return (rows + 0.02 * rng.normal(size=rows.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    tables = {
        "sound": make_rows(256),
        "cut": make_rows(128, trained=64),
        "tiny": make_rows(5, 4),
        "zero": np.zeros((16, 8), np.float32),
        "nan": np.full((16, 8), np.nan, np.float32),
    }
    for name, rows in tables.items():
        np.save(folder / f"{name}.npy", rows)
    found = {name: inspect(folder / f"{name}.npy", first_row=0) for name in tables}
    found["changed"] = inspect(folder / "cut.npy", first_row=0, compare=folder / "sound.npy")
    without = {"tables": [], "positions_by": "rotary", "family": "llama", "model_type": "llama"}
    return {**found, "rotary": found["sound"] | without}


@pytest.fixture(scope="module")
def pages(documents):
    return {name: render_inspect_html(documents[name]) for name in NAMES}


@pytest.fixture
def cut(documents):
    return copy.deepcopy(documents["cut"])


def printed(document, width=80, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    print_inspect(document, Console(**{"file": stream, "width": width, "_environ": {}} | options))
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("name", NAMES)
def test_every_document_makes_a_page_that_loads_and_runs_nothing(pages, name):
    html = pages[name]
    assert faults(html) == []
    assert "http://" not in html and "https://" not in html
    assert len(html.encode()) <= 400_000
    assert not any(word in Page(html).text.split() for word in ("nan", "inf", "None"))


def test_the_page_says_what_was_found_and_where(cut, pages):
    page = Page(pages["cut"])
    heading = next(text for tag, text in page.texts if tag == "h1")
    assert "1 issue" in heading
    issue = next(found for found in cut["tables"][0]["findings"] if found["status"] == "issue")
    for part in ("code", "title", "where", "got", "expected", "fix"):
        assert issue[part] in page.text
    assert all(found["code"] in page.text for found in cut["tables"][0]["findings"])


def test_each_measure_stands_beside_its_chance_level(cut, pages):
    text = Page(pages["cut"]).text
    metric = cut["tables"][0]["metrics"]["reverse_mapping_error"]
    for value in (metric["value"], metric["chance"]):
        assert f"{value:.2f}" in text
    assert "depends on the scale of the table" in text


def test_every_figure_has_its_numbers(cut, pages):
    html = pages["cut"]
    page = Page(html)
    assert len(page.of("svg")) == 3
    assert sum(text == "Numbers of this figure" for tag, text in page.texts if tag == "summary") == 3
    norms = cut["tables"][0]["pictures"]["norms"]["values"]
    assert ", ".join(f"{norm:.3f}" for norm in norms) in page.text


def test_every_position_has_a_dot_at_its_nearest_row(pages):
    drawing = re.search(r"<svg[^>]*order-0-title.*?</svg>", pages["cut"], re.DOTALL)[0]
    assert max(path.count("M") for path in re.findall(r' d="([^"]*)"', drawing)) == 128


def test_a_comparison_adds_a_figure_and_names_the_rows(documents, pages):
    html = pages["changed"]
    pair = documents["changed"]["comparison"]["tables"][0]
    assert len(Page(html).of("svg")) == 4
    assert pair["summary"] in html
    assert pair["moved"]["where"] in html


def test_the_same_document_gives_the_same_bytes_and_stays_as_it_is(cut, pages):
    before = json.dumps(cut)
    assert render_inspect_html(cut) == pages["cut"]
    assert render_inspect_png(cut) == render_inspect_png(cut)
    assert json.dumps(cut) == before


def test_other_tables_are_listed_with_how_to_ask_for_them(cut):
    cut["other_tables"] = [{"key": "time embedding.weight", "rows": 1001, "dim": 128}]
    option = "--tensor 'time embedding.weight' --first-row 0"
    for text in (printed(cut), Page(render_inspect_html(cut)).text):
        assert "Not inspected: tensors" in text
        assert option in text and "1,001 × 128" in text


def poison(document, text):
    document["source"] = document["family"] = document["model_type"] = text
    for table in document["tables"]:
        table["key"] = table["role"] = text
        for found in table["findings"]:
            found.update(where=text, got=text, expected=text, fix=text, title=text)
    return document


def test_names_from_files_are_data_on_the_page(cut):
    html = render_inspect_html(poison(cut, HOSTILE))
    assert faults(html) == []
    assert HOSTILE not in html
    assert HOSTILE in Page(html).text


@pytest.mark.parametrize("tables", [1, 3])
def test_the_picture_is_a_png_with_every_table_in_it(cut, tables):
    cut["tables"] *= tables
    picture = render_inspect_png(poison(cut, "\x1b[2J\u202e$\\frac$ 漢字"))
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (1720, 680 * tables)


def test_nothing_to_draw_is_refused(documents):
    with pytest.raises(NoTable, match="leave out --png"):
        render_inspect_png(documents["nan"])


def test_without_matplotlib_the_extra_is_named_and_the_terminal_still_prints(cut, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for render in (render_inspect_html, render_inspect_png):
        with pytest.raises(MissingExtra, match=r"milepost\[report\]"):
            render(cut)
    assert printed(cut)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(documents, name, width):
    if width < 80:
        documents = {
            name: documents[name] | {"tables": [t | {"metrics": {}} for t in documents[name]["tables"]]}
        }
    assert max(map(len, printed(documents[name], width).splitlines())) <= width


def test_the_terminal_shows_the_trained_rows_and_says_what_is_wrong(cut):
    lines = printed(cut).splitlines()
    assert lines[0].startswith("1 position table: 1 issue")
    picture = [line[:32] for line in lines if "█" in line[:32] or "▓" in line[:32]]
    assert any(line.strip() for line in picture)
    # rows that nobody trained are like nothing: blank but for the diagonal
    upper = next(line for line in lines if line.endswith("red 1, light 0, blue −1") or "up to 1" in line)
    assert upper[:16].strip() and not upper[18:32].strip()
    assert "✗ issue MP201 rows that were never trained" in lines
    assert "  where: rows 64..127" in lines


def test_a_terminal_of_few_characters_gets_ascii(cut):
    text = printed(cut, encoding="ascii")
    assert "x issue MP201" in text
    assert "##" in text


def test_colour_is_used_only_where_it_is_wanted(cut):
    terminal = {"force_terminal": True, "color_system": "truecolor"}
    assert "\x1b[38;2;" in printed(cut, **terminal)
    assert "\x1b[38;2;" not in printed(cut, **(terminal | {"color_system": "standard"}))
    assert "\x1b[3" not in printed(cut, no_color=True, **terminal)
    assert "\x1b" not in printed(cut)


def test_names_cannot_move_the_cursor_or_turn_the_text_around(cut):
    text = printed(poison(cut, "evil\x1b[2J\x9b31m\u202eabc\r\n[red]"))
    assert {char for char in text if unicodedata.category(char) in ("Cc", "Cf")} == {"\n"}
    assert "[red]" in "".join(text.split())


def test_a_model_without_a_table_says_how_it_knows_positions(documents):
    assert printed(documents["rotary"]).startswith("No position table: positions enter by rotation")


def test_shades_rise_with_the_cosine_and_leave_negative_ones_blank():
    assert shade([[-1.0, 0.0, 0.3, 0.6, 1.0]], ascii_only=True) == ["    ..::##"]


def test_half_blocks_carry_two_rows_each():
    lines = half_blocks([[1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])
    assert [len(line) for line in lines] == [2, 2]
    assert [span.style for span in lines[0].spans] == [
        "rgb(178,24,43) on rgb(242,242,242)",
        "rgb(33,102,172) on rgb(242,242,242)",
    ]


def test_bars_of_nothing_are_flat():
    assert bars([0.0, 0.0], 2, ascii_only=True) == "__"


@pytest.mark.parametrize("tables", [2, 6])
def test_a_page_of_long_tables_stays_small(documents, tables):
    document = copy.deepcopy(documents["changed"])
    long = np.sin(np.arange(512)).tolist()
    table, pair = document["tables"][0], document["comparison"]["tables"][0]
    for name in ("norms", "cosine_by_distance", "frequencies"):
        table["pictures"][name].update(at=list(range(1, 513)), values=long)
    table["pictures"]["nearest"]["values"] = np.random.default_rng(0).permutation(512).tolist()
    table["pictures"]["cosine_map"].update(
        at=list(range(64)), values=np.random.default_rng(0).uniform(-1, 1, (64, 64)).tolist()
    )
    pair.update(change=[None, 9.0, *[0.5] * 20_000], cosine=[None, 0.1, *[0.5] * 20_000])
    document["tables"] *= tables
    document["comparison"]["tables"] *= tables
    html = render_inspect_html(document)
    assert faults(html) == []
    assert len(html.encode()) <= 400_000
    assert (
        "largest change is 9.000 norms, at position 0 or soon after" in html
    )  # thinning keeps the row that moved
