"""Pages and terminals of tasks other than language modelling."""

from __future__ import annotations

import io
import re

import jsonschema
import pytest
from conftest import SIX, make_classified
from pages import Page, faults
from rich.console import Console

from milepost.reporting import print_compare, read_schema, render_compare_html
from milepost.reporting.breakdown import read_breakdowns, read_confusions
from milepost.reporting.compare_summary import CompareSummary


@pytest.fixture(scope="module")
def html():
    return render_compare_html(make_classified())


def row(html, first, after):
    part = html[html.index(after) :]
    return re.search(rf'<tr[^>]*><th scope="row">{re.escape(first)}<.*?</tr>', part, re.DOTALL)[0]


def test_the_document_fits_the_schema(classified):
    jsonschema.Draft202012Validator(read_schema("compare")).validate(classified)


def test_titles_signs_and_captions_are_those_of_the_task(html, classified):
    page = Page(html)
    assert faults(html) == []
    assert "Macro-F1 by length" in [data for _, data in page.texts]
    assert "higher is better" in page.text
    assert "nats per token" not in page.text and "perplexity" not in page.text
    one = next(c for c in classified["comparisons"] if (c["encoding"], c["length"]) == ("rotary", 32))
    assert one["verdict"] == "better" and one["difference"] > 0
    assert f"+{one['difference']:.3f}<small>" in html


def test_a_task_without_a_curve_has_no_figure_by_place(html):
    assert html.count("<svg") == 2
    assert "by position" not in Page(html).text


def test_further_metrics_are_tables(html, classified):
    losses = [t["metrics"]["16"]["loss"] for t in classified["trials"] if t["encoding"] == "rotary"]
    assert f"<td>{sum(losses) / 3:.3f}</td>" in row(html, "rotary", "<h3>Further metrics</h3>")


def test_a_breakdown_is_a_table_with_its_counts_beside_it(classified, html):
    tables = read_breakdowns(CompareSummary.from_result(classified), 32)
    assert [(t.title, t.counts) for t in tables] == [
        ("macro-F1 by length", "documents"),
        ("macro-F1 by the third that is shown, 12 documents", ""),
    ]
    label, count, means = tables[0].rows[1]
    assert (label, count) == ("over 32 tokens, cut", 12.0)
    cut = [t["breakdown"]["32"]["macro-F1 by length"][label] for t in classified["trials"][::6]]
    assert means[0] == pytest.approx(sum(cut) / 3)
    assert "<td>12</td>" in row(html, "over 32 tokens, cut", "Macro-F1 by length, at length 32")


def test_what_an_encoding_has_no_answer_for_is_not_in_its_column(classified):
    table = read_breakdowns(CompareSummary.from_result(classified), 64)[0]
    assert table.rows[0][2][0] is None and table.rows[0][2][2] is not None


def test_a_confusion_matrix_is_read_back_from_its_pairs(classified):
    matrices = read_confusions(CompareSummary.from_result(classified), 32)
    assert [m.encoding for m in matrices] == classified["spec"]["encodings"]
    assert matrices[0].labels == ["ham", "spam"]
    assert matrices[0].rows[1][1][0] == 4.0


def test_labels_that_hold_the_arrow_are_still_a_matrix(classified):
    names = ["a → b", "b"]
    for trial in classified["trials"]:
        for tables in trial["breakdown"].values():
            tables["confusion matrix, documents"] = {
                f"{one} → {other}": 1.0 for one in names for other in names
            }
    assert read_confusions(CompareSummary.from_result(classified), 32)[0].labels == names


def test_pairs_out_of_order_are_no_matrix(classified):
    for trial in classified["trials"]:
        for tables in trial["breakdown"].values():
            cells = tables["confusion matrix, documents"]
            tables["confusion matrix, documents"] = dict(reversed(cells.items()))
    assert read_confusions(CompareSummary.from_result(classified), 32)[0].labels == ["spam", "ham"]
    for trial in classified["trials"]:
        for tables in trial["breakdown"].values():
            tables["confusion matrix, documents"].pop("ham → ham")
    assert read_confusions(CompareSummary.from_result(classified), 32) == []


def test_every_setting_tried_is_there_and_the_chosen_one_is_marked(html):
    page = html[html.index("<h2>Settings that were tried</h2>") :]
    assert page[: page.index("</table>")].count("✓ chosen") == 6
    assert "diverged: the training loss is not a number" in page
    assert "At length 16: at lr 0.004, sinusoidal is better." in page
    assert "~ not robust" in html


def test_what_does_not_fit_the_purpose_says_so_in_its_row(html):
    assert "left out: it adds 2,048 parameters, more than 2,000" in row(html, "learned", "Verdicts by length")
    assert "<dt>Most parameters for position</dt><dd>2,000</dd>" in html


def test_parameters_that_differ_are_never_hidden(html):
    assert "<dt>Parameters</dt><dd>106,304 to 108,352, +1.9 %</dd>" in html
    assert "<td>−2,048</td>" in row(html, "rotary", "<h2>Cost</h2>")


def test_looks_are_told_where_seeds_were_added(classified):
    classified["spec"]["looks"] = [3, 4, 5]
    html = render_compare_html(classified)
    assert "looked at from 3 to at most 5 seeds" in html
    assert "hold at every look together" in html


def test_a_horizon_is_drawn_without_the_trained_length(result):
    result["spec"] |= {"task": "forecast", "axis": "horizon", "unit": "patches"}
    html = render_compare_html(result)
    figure = re.search(r"<svg[^>]*position-0-title.*?</svg>", html, re.DOTALL)[0]
    assert "horizon (steps ahead)" in figure and "trained: 32" not in figure
    assert "evaluation length (patches)" in html


def test_sliding_windows_are_not_said_to_begin_at_the_first_position(result):
    result["spec"]["evaluate"] = "sliding"
    figure = re.search(r"<svg[^>]*position-0-title.*?</svg>", render_compare_html(result), re.DOTALL)[0]
    assert "place among the predictions scored" in figure and "trained: 32" not in figure


def test_six_encodings_and_ten_seeds_with_all_a_task_has_stay_within_400_kilobytes():
    result = make_classified(SIX, 10)
    classes = [f"class number {k}" for k in range(12)]
    cells = {f"{one} → {other}": 7.0 for one in classes for other in classes}
    for trial in result["trials"]:
        trial["loss_by_position"] = [2.0] * 2048
        for tables in trial["breakdown"].values():
            tables["confusion matrix, documents"] = cells
    result["spec"]["axis"] = "position"
    html = render_compare_html(result)
    assert len(html.encode()) <= 400_000
    assert faults(html) == []


def test_the_terminal_names_metric_and_direction(classified):
    stream = io.StringIO()
    print_compare(classified, Console(file=stream, width=80, _environ={}))
    text = stream.getvalue()
    assert "Mean macro-F1 by length, higher is better; trained at 32" in text
    assert "margin 0.01 of the macro-F1" in " ".join(text.split())
    assert "At length 16: at lr 0.004, sinusoidal is better." in text
    assert (
        "settings chosen on the validation part: learned: learning rate 0.004; sinusoidal: learning rate 0.004"
        in " ".join(text.split())
    )
    assert max(map(len, text.splitlines())) <= 80
