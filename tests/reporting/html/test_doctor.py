"""A doctor document on a page, on a terminal and as annotations."""

import copy
import io
import unicodedata

import pytest
from pages import HOSTILE, Page, faults
from rich.console import Console

from milepost.reporting import annotate, print_doctor, render_doctor_html


def make_finding(code, status, where="", **parts):
    return {
        "code": code,
        "status": status,
        "title": f"about {code}",
        "where": where,
        "got": "",
        "expected": "",
        "fix": "",
    } | parts


def make_document():
    return {
        "schema_version": 1,
        "source": "models/mine",
        "family": "bert",
        "model_type": "bert",
        "positions_by": "learned",
        "limits": {
            "usable": {"value": 510, "where": "model.safetensors: table", "note": ""},
            "tokenizer": {"value": None, "where": "tokenizer_config.json: model_max_length", "note": "no limit"},
        },
        "tables": [],
        "findings": [
            make_finding("MP301", "passed", got="rows agree"),
            make_finding("MP302", "tip", "config.json: n_ctx", got="512", expected="510", fix="set it"),
            make_finding("MP303", "issue", "tokenizer.json: truncation", got="100 % cut"),
            make_finding("MP304", "cannot_tell", got="no file says"),
        ],
        "changes": [{"file": "config.json", "field": "n_ctx", "old": 512, "new": 510}],
        "text": {
            "file": "texts.txt", "tokenizer": "models/mine", "texts": 3, "tokens": 3000, "longest": 2000, "median": 700.0,
            "limits": {"usable": {"limit": 510, "texts_cut": 2, "tokens_cut": 1700, "share_of_texts_cut": 2 / 3,
                                  "share_of_tokens_cut": 0.5667}},
        },
    }  # fmt: skip


@pytest.fixture
def document():
    return make_document()


def printed(document, width=80, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    print_doctor(document, Console(**{"file": stream, "width": width, "_environ": {}} | options))
    stream.flush()
    return raw.getvalue().decode(encoding)


def poison(document):
    """Hostile text in every string but those that are code and status."""
    if isinstance(document, dict):
        return {k: v if k in ("code", "status") else poison(v) for k, v in document.items()}
    if isinstance(document, list):
        return [poison(value) for value in document]
    return HOSTILE + "\x1b[2J\u202e\r\n::error::x" if isinstance(document, str) else document


def test_the_page_has_the_limits_the_findings_and_the_changes(document):
    html = render_doctor_html(document)
    page = Page(html)
    assert faults(html) == []
    assert next(text for tag, text in page.texts if tag == "h1") == "Usable length 510: 1 issue, 1 tip"
    for shown in (
        "510",
        "no limit",
        "MP303 about MP303",
        "100 % cut",
        "config.json: n_ctx",
        "1,700",
        "56.7 %",
    ):
        assert shown in page.text
    order = [page.text.index(code) for code in ("MP303", "MP302", "MP304", "MP301")]
    assert order == sorted(order)


@pytest.mark.parametrize("missing", ["changes", "text"])
def test_what_is_not_there_has_no_section(document, missing):
    document[missing] = None if missing == "text" else []
    assert len(Page(render_doctor_html(document)).of("h2")) == 3


def test_the_page_is_the_same_each_time_and_the_document_stays_as_it_is(document):
    before = copy.deepcopy(document)
    assert render_doctor_html(document) == render_doctor_html(document)
    assert document == before


def test_names_from_files_are_data(document):
    hostile = poison(document)
    html = render_doctor_html(hostile)
    assert faults(html) == []
    assert HOSTILE not in html
    text = printed(hostile)
    assert {char for char in text if unicodedata.category(char) in ("Cc", "Cf")} == {"\n"}


def test_the_terminal_begins_with_the_count_and_keeps_to_its_width(document):
    for width in (60, 80):
        lines = printed(document, width).splitlines()
        assert lines[0] == "Usable length 510: 1 issue, 1 tip"
        assert max(map(len, lines)) <= width
    assert "✗ issue MP303 about MP303" in lines
    assert "    limits" not in lines
    assert any(line.split()[:2] == ["tokenizer", "–"] for line in lines)
    assert "--fix sets 1 field; --dry-run shows the difference and writes nothing." in lines


def test_an_ascii_terminal_gets_ascii(document):
    assert "x issue MP303" in printed(document, encoding="ascii")


def test_annotations_name_the_file_and_leave_out_what_passed(document):
    assert annotate(document) == [
        "::error file=models/mine/tokenizer.json,title=MP303 about MP303::truncation: 100 %25 cut",
        "::warning file=models/mine/config.json,title=MP302 about MP302::n_ctx: 512; expected: 510; fix: set it",
    ]


def test_an_annotation_cannot_begin_another_command(document):
    lines = annotate(poison(document))
    assert len(lines) == 2
    for line in lines:
        assert len(line.splitlines()) == 1
        assert line.count("::error ") + line.count("::warning ") == 1
        properties = line.removeprefix("::error ").removeprefix("::warning ").split("::")[0]
        assert properties.startswith("title=") and ":" not in properties and "," not in properties
