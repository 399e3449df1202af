from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import jsonschema
import pytest
from pages import HOSTILE, Page, faults
from rich.console import Console

import milepost
from milepost.api.report import report
from milepost.errors import FolderError, OptionError
from milepost.reporting import (
    print_report,
    read_schema,
    render_compare_html,
    render_report_html,
    write_csv,
)


def better(make, by=0.2):
    """The same sweep at another learning rate, with lower losses in the encodings rotary and none."""
    result = make()
    result["spec"]["training"]["lr"] = 0.004
    for at, trial in enumerate(result["trials"]):
        if trial["encoding"] in ("rotary", "none"):
            for scored in trial["metrics"].values():
                scored["loss"] -= by + at / 1000
    return result


def text_of(document, width=80):
    import io

    stream = io.StringIO()
    print_report(document, Console(file=stream, width=width, _environ={}))
    return stream.getvalue()


def test_one_run_is_the_page_of_its_comparison(save, result):
    document = milepost.report(save("run", result))
    assert render_report_html(document) == render_compare_html(result)
    assert document["pair"] is None and [run["name"] for run in document["runs"]] == ["run"]


def test_the_document_fits_its_schema(save, make, classified):
    folders = [save("a", make()), save("b", better(make)), save("c", classified)]
    validator = jsonschema.Draft202012Validator(read_schema("report"))
    for some in (folders[:1], folders[:2], folders[1:], folders):
        validator.validate(json.loads(json.dumps(report(some), allow_nan=False)))


def test_two_runs_that_differ_in_one_thing_are_held_against_each_other(save, make):
    document = report([save("a", make()), save("b", better(make))])
    pair = document["pair"]
    assert pair["differences"] == [{"name": "training.lr", "first": 0.002, "second": 0.004}]
    rows = {(c["encoding"], c["length"]): c for c in pair["comparisons"]}
    one = rows["rotary", 32]
    assert one["verdict"] == "better" and one["n_seeds"] == 3
    assert one["low"] < one["difference"] < one["high"] < 0
    assert rows["alibi", 32]["difference"] == 0 and rows["alibi", 32]["verdict"] == "equivalent"
    assert rows["learned", 64]["verdict"] == "undefined"
    others = [rows[name, 32]["p_adjusted"] >= rows[name, 32]["p"] for name in ("rotary", "none", "alibi")]
    assert all(others)
    assert "b and a differ in training lr alone." in text_of(document)


def test_a_seed_that_only_one_run_has_is_left_out(save, make):
    rows = report([save("a", make()), save("b", make(seeds=4))])["pair"]["comparisons"]
    assert {c["n_seeds"] for c in rows if c["encoding"] == "rotary"} == {3}


def test_two_differences_say_which_and_compare_nothing(save, make):
    other = better(make)
    other["spec"]["steps"] = 900
    document = report([save("a", make()), save("b", other)])
    pair = document["pair"]
    assert [row["name"] for row in pair["differences"]] == ["steps", "training.lr"]
    assert not pair["comparable"] and pair["comparisons"] == []
    shown = text_of(document)
    assert "more than one thing" in " ".join(shown.split()) and "steps: 800 in a, 900 in b" in shown


def test_the_initial_scale_that_follows_the_width_is_no_second_difference(save, make):
    other = make()
    other["spec"]["model"] |= {"dim": 128, "init_std": 0.056}
    pair = report([save("a", make()), save("b", other)])["pair"]
    assert [row["name"] for row in pair["differences"]] == ["model.dim"] and pair["comparable"]


def test_other_data_stands_in_another_table_and_is_not_compared(save, make, classified):
    other = make()
    other["spec"]["data"]["sha256"] = "0" * 64
    document = report([save("a", make()), save("b", other)])
    assert [table["runs"] for table in document["tables"]] == [["a"], ["b"]]
    assert not document["pair"]["comparable"] and "same data" in document["pair"]["reason"]
    kinds = report([save("c", make()), save("d", classified), save("e", better(make))])
    assert [table["runs"] for table in kinds["tables"]] == [["c", "e"], ["d"]]
    assert kinds["pair"] is None


def test_runs_decided_by_different_metrics_stand_in_different_tables(save, make):
    other, old = better(make), make()
    other["spec"]["metric"] = "perplexity"
    assert "metric" not in old["spec"]  # the first of its metrics decides
    document = report([save("a", old), save("b", other)])
    assert [table["metric"]["name"] for table in document["tables"]] == ["loss", "perplexity"]
    assert not document["pair"]["comparable"]
    old["spec"]["metric"] = "loss"
    assert report([save("c", old), save("d", make())])["pair"]["comparable"]


def test_a_result_decided_by_a_metric_that_it_does_not_have_is_refused(save, make):
    result = make()
    result["spec"]["metric"] = "accuracy"
    with pytest.raises(FolderError, match=r"spec\.metric is not among"):
        report([save("a", result)])


def test_a_table_holds_the_means_of_each_run(save, make):
    document = report([save("a", make()), save("b", better(make))])
    (table,) = document["tables"]
    rows = {(r["run"], r["encoding"], r["length"]): r for r in table["rows"]}
    values = [t["metrics"]["32"]["loss"] for t in better(make)["trials"] if t["encoding"] == "rotary"]
    assert rows["b", "rotary", 32]["mean"] == pytest.approx(sum(values) / 3)
    assert rows["a", "learned", 64]["mean"] is None
    assert f"{rows['b', 'rotary', 32]['mean']:.3f}" in text_of(document)


def test_the_page_of_several_lists_every_trial_by_run(save, make, classified):
    html = render_report_html(report([save("a", make()), save("b", better(make)), save("c", classified)]))
    assert faults(html) == []
    page = Page(html)
    for name in "abc":
        part = html[html.index(f"<h2>Trials of {name}</h2>") :]
        assert part[: part.index("</section>")].count("<tr>") == 1 + 18
    assert "causal-lm on builtin:python-docs" in page.text and "b: rotary" in page.text


def test_environments_that_differ_are_told(save, make):
    other = better(make)
    other["environment"]["torch"] = "2.14.0"
    document = report([save("a", make()), save("b", other)])
    assert [row["name"] for row in document["pair"]["environment"]] == ["torch"]
    assert "torch 2.13.0+cpu and 2.14.0" in Page(render_report_html(document)).text


def test_names_of_runs_are_text(save, make):
    folders = [save("<b>x", make()), save("y\x1b[2J", better(make))]
    document = report(folders)
    assert faults(render_report_html(document)) == []
    assert "\x1b" not in text_of(document)


def test_runs_of_one_name_are_told_apart_by_where_they_lie(save, make):
    document = report([save("one/run", make()), save("two/run", better(make))])
    assert [run["name"] for run in document["runs"]] == ["one/run", "two/run"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"schema_version": 2}',
        '{"schema_version": 1, "spec": {}}',
        "[" * 100_000,
    ],
)
def test_a_result_that_was_changed_is_refused(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(FolderError, match="is not what"):
        report(tmp_path)


def test_a_trial_without_its_fields_is_named(save, result):
    del result["trials"][4]["metrics"]
    with pytest.raises(FolderError, match=r"trials\[4\] has no metrics"):
        report(save("run", result))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["trials", 0, "metrics"], [], "metrics is of another kind"),
        (["spec", "lengths"], None, "lengths is of another kind"),
        (["recommendation", "sentence"], 1, "sentence is of another kind"),
        (["comparisons"], {}, "comparisons is of another kind"),
    ],
)
def test_a_value_of_another_kind_is_named(save, result, path, value, said):
    *way, last = path
    part = result
    for key in way:
        part = part[key]
    part[last] = value
    with pytest.raises(FolderError, match=said):
        report(save("run", result))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda result: result["trials"].append(result["trials"][0]), "is listed twice"),
        (lambda result: result["trials"].pop(), "is missing"),
        (lambda result: result["trials"][0].update(encoding="alien"), "is none of the design"),
        (lambda result: result["trials"][0].update(seed=99), "is none of the design"),
        (lambda result: result["trials"][0]["metrics"].update({"7": None}), "at a length that is not listed"),
        (lambda result: result["comparisons"][0].update(length=7), "at a length that is not listed"),
        (lambda result: result["comparisons"][0].update(encoding="alien"), "encoding that is not listed"),
        (lambda result: result["spec"].update(baseline="alien"), "baseline is not among"),
        (lambda result: result["spec"].update(deciding_length=7), "deciding_length is not among"),
        (lambda result: result["pictures"].update(alien=next(iter(result["pictures"].values()))), "pictures"),
        (lambda result: result["recommendation"].update(sentence="\ud800"), "no Unicode"),
    ],
)
def test_parts_that_contradict_each_other_are_named(save, result, spoil, said):
    spoil(result)
    with pytest.raises(FolderError, match=said) as caught:
        report(save("run", result))
    assert caught.value.code == "MP107"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_a_number_that_is_none_is_refused(save, result, number):
    folder = Path(save("run", result))
    text = (folder / "result.json").read_text()
    metrics = next(iter(next(one for one in result["trials"] if one["status"] == "done")["metrics"].values()))
    loss = json.dumps(next(iter(metrics.values())))
    (folder / "result.json").write_text(text.replace(loss, number, 1))
    with pytest.raises(FolderError, match=r"result\.json"):
        report(folder)


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    (tmp_path / "result.json").mkdir() if kind == "a folder" else os.mkfifo(tmp_path / "result.json")
    with pytest.raises(FolderError, match=r"no regular file|Is a directory"):
        report(tmp_path)


def test_a_folder_without_a_result_or_named_twice_is_refused(tmp_path, save, result):
    with pytest.raises(FolderError, match="no run folder with a result"):
        report(tmp_path)
    run = save("run", result)
    with pytest.raises(OptionError, match="named twice"):
        report([run, run / ".." / "run"])
    with pytest.raises(OptionError, match="no run"):
        report([])


def test_figures_hold_every_seed(save, result):
    figures = {figure["name"]: figure for figure in report(save("run", result))["figures"]}
    assert set(figures) == {
        "loss by length",
        "perplexity by length",
        "loss by position",
        "training loss",
        "norms of the table",
        "cosines of the table",
    }
    table = figures["loss by length"]
    assert table["columns"] == ["run", "encoding", "seed", "x", "value"]
    answered = [s for t in result["trials"] for s in t["metrics"].values() if s]
    assert len(table["rows"]) == len(answered)
    assert ["run", "rotary", 1, 32, result["trials"][8]["metrics"]["32"]["loss"]] in table["rows"]


def test_breakdowns_are_a_figure_of_their_own(save, classified):
    figures = {figure["name"]: figure for figure in report(save("run", classified))["figures"]}
    assert figures["breakdown"]["columns"][3:] == ["length", "title", "x", "value"]
    assert ["run", "learned", 0, 16, "documents by length", "1–16 tokens", 30.0] in figures["breakdown"][
        "rows"
    ]


def test_csv_holds_the_same_numbers_and_nothing_that_a_spreadsheet_would_compute(save, make, tmp_path):
    bad = ["=HYPERLINK(1)", "+1", "-2", "@x", "\t=1", HOSTILE]
    result = make(bad, fail=False)
    result["spec"]["metrics"][0]["title"] = "../../loss"
    figures = report(save("=run", result))["figures"]
    files = write_csv(figures, tmp_path / "csv")
    assert {file.parent for file in files} == {tmp_path / "csv"}
    assert len(files) == len(figures) == len(set(files))
    for figure, file in zip(figures, files, strict=True):
        with file.open(encoding="utf-8", newline="") as lines:
            head, *rows = list(csv.reader(lines))
        assert head == figure["columns"] and len(rows) == len(figure["rows"])
        for written, meant in zip(rows, figure["rows"], strict=True):
            for cell, value in zip(written, meant, strict=True):
                if isinstance(value, str):
                    assert cell.removeprefix("'") == value and cell[0] not in "=+-@\t\r"
                else:
                    assert cell == ("" if value is None else str(value))


def test_the_documents_are_left_untouched(save, make):
    first, second = make(), better(make)
    document = report([save("a", first), save("b", second)])
    before = json.dumps(document)
    render_report_html(document)
    text_of(document)
    assert json.dumps(document) == before
