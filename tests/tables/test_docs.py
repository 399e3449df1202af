"""The page about families says what the data says."""

from pathlib import Path

import pytest

from milepost.tables import FAMILIES

PAGE = Path(__file__).parents[2] / "docs" / "families-of-tables.md"


def render_table(form):
    first, extra = (str(value).replace("pad+1", "pad + 1") for value in (form.first_row, form.extra_rows))
    role = f"{form.role}, {form.prefix_rows} prefix rows" if form.kind == "patches" else form.role
    notes = [form.kind.replace("_", " ")] if form.kind == "fixed_sinusoid" else []
    notes += ["may be absent"] if form.optional else []
    notes += [] if form.resizable else ["not resizable"]
    extra = "by image" if form.prefix_rows or form.kind == "patches" else extra
    text = f"`{form.suffix}` · {role} · {first} · {extra} · `{form.field}`"
    return f"{text} ({', '.join(notes)})" if notes else text


def render_row(family):
    parts = [f"`{part.config}`: {part.model_type or 'by its model_type'}" for part in family.parts]
    tables = [render_table(form) for form in family.tables] + parts
    return (
        f"| {family.name} | {' '.join(family.model_types)} | {'<br>'.join(tables) or family.positions_by} |"
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_family_stands_on_the_page_as_it_is(family):
    assert render_row(family) in PAGE.read_text(encoding="utf-8").splitlines(), (
        f"docs/families-of-tables.md wants this row:\n{render_row(family)}"
    )


def test_page_has_no_row_without_a_family():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index("|---|---|---|") + 1 :]
    rows = rows[: rows.index("")]
    assert rows == [render_row(family) for family in FAMILIES]
