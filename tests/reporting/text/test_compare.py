import io
import unicodedata

import pytest
from rich.console import Console

from milepost.reporting import print_compare


def printed(result, width=80, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    with_defaults = {"file": stream, "width": width, "_environ": {}} | options
    print_compare(result, Console(**with_defaults))
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_the_recommendation_comes_first(result):
    assert " ".join(printed(result).split()).startswith(result["recommendation"]["sentence"])


def test_a_row_shows_loss_and_verdict_at_each_length(result):
    row = next(line for line in printed(result).splitlines() if line.startswith("rotary  "))
    at = {c["length"]: c for c in result["comparisons"] if c["encoding"] == "rotary"}
    marks = {"better": "✓", "worse": "✗", "undecided": "?"}
    assert set(marks) == {c["verdict"] for c in at.values()}
    assert [cell for cell in row.split() if len(cell) == 1] == [
        marks[at[n]["verdict"]] for n in result["spec"]["lengths"]
    ]
    losses = [t["metrics"]["32"]["loss"] for t in result["trials"] if t["encoding"] == "rotary"]
    assert f"{sum(losses) / 3:.3f}" in row


def test_notes_on_the_data_are_printed(result):
    assert "About the data" not in printed(result)
    result["notes"] = ["888 of 1,066 documents are cut."]
    assert "About the data" in printed(result) and "888 of 1,066 documents are cut." in printed(result)


def test_no_answer_is_a_dash_and_is_explained(result):
    text = printed(result)
    row = next(line for line in text.splitlines() if line.startswith("learned  "))
    assert row.split()[3:] == ["–", "–", "–"]
    assert "– no answer" in text


@pytest.mark.parametrize("width", [80, 60, 120])
def test_no_line_is_wider_than_the_terminal(result, width):
    lines = printed(result, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "rotary" in "".join(lines)


def test_more_lengths_than_fit_go_on_in_a_further_table(result):
    result["spec"]["lengths"] = [16, 32, 48, 64, 96, 112, 120, 128]
    heads = [line for line in printed(result).splitlines() if line.startswith("encoding  ")]
    assert len(heads) == 2
    assert "128" in heads[1]


def test_every_reason_is_printed_and_so_is_every_trial_that_failed(result):
    text = " ".join(printed(result).split())
    advice = result["recommendation"]
    assert all(sentence in text for sentence in (*advice["because"], *advice["would_change"]))
    assert "t5(buckets=32,max_distance=128), seed 2: failed: the worker ended with signal 9" in text
    assert "2/3" in text


def test_names_cannot_move_the_cursor_or_turn_the_text_around(make):
    hostile = "evil\x1b[2J\x9b31m\u202eabc\r\n[red]"
    result = make([hostile, "none"])
    result["trials"][0] |= {"status": "failed", "reason": "\x1b]0;title\x07"}
    result["recommendation"]["sentence"] = f"Use {hostile}"
    text = printed(result, force_terminal=True, color_system=None)
    shown = {c for c in text if unicodedata.category(c) in ("Cc", "Cf")}
    assert shown == {"\n"}
    assert r"evil\x1b[2J" in text
    assert "[red]" in "".join(text.split())


def test_colour_is_only_used_on_a_terminal_that_wants_it(result):
    colours = {"force_terminal": True, "color_system": "standard"}
    assert "\x1b[32m" in printed(result, **colours)
    assert "\x1b[32m" not in printed(result, _environ={"NO_COLOR": "1"}, **colours)
    assert "\x1b" not in printed(result)


def test_an_ascii_terminal_gets_ascii(result):
    text = printed(result, encoding="ascii")
    assert "+ better" in text
    assert "x worse" in text


def test_one_seed_and_no_winner_can_be_printed(make):
    result = make(["learned", "alibi"], seeds=1, fail=False)
    result["recommendation"] = {"encoding": None, "sentence": "No winner.", "because": [], "would_change": []}
    text = printed(result)
    assert text.startswith("No winner.\n")
    assert "too few seeds" in text


def test_the_document_is_left_untouched(make):
    result, before = make(), make()
    printed(result)
    assert result == before


def test_sentences_leave_no_blanks_at_the_end_of_a_line(result):
    prose = printed(result).split("encoding  ")[0]
    assert "\n\n" in prose
    assert all(line == line.rstrip() for line in prose.splitlines())


def test_what_an_answer_that_ignores_the_input_scores_is_the_last_row(result):
    result["spec"]["floors"] = {"16": 3.25, "32": 3.125}
    lines = printed(result).splitlines()
    row = next(line for line in lines if line.startswith("(floor)"))
    assert row.split() == ["(floor)", "3.250", "3.125", "–", "–", "–"]
    assert "(floor): the best answer that ignores the input" in lines
    del result["spec"]["floors"]
    assert "(floor)" not in printed(result)


def marks(result, name):
    row = next(line for line in printed(result).splitlines() if line.startswith(f"{name}  "))
    return [cell for cell in row.split() if len(cell) == 1]


def test_the_mark_of_an_unconverged_baseline_stands_in_its_own_row(make):
    result = make(["learned", "alibi", "none"], fail=False)
    for c in result["comparisons"]:
        if c["length"] == 32:
            c.update(verdict="not_converged", unconverged=["learned"])
    result["spec"]["lengths"] = [32]
    assert [marks(result, name) for name in ("learned", "alibi", "none")] == [["!"], [], []]
    for c in result["comparisons"]:
        c.update(unconverged=[c["encoding"]])
    assert [marks(result, name) for name in ("learned", "alibi", "none")] == [[], ["!"], ["!"]]


def test_a_constant_difference_has_a_mark_and_a_word(make):
    result = make(["learned", "alibi"], fail=False)
    for c in result["comparisons"]:
        c["verdict"] = "constant_better"
    assert "▲ better, constant" in printed(result)
    assert "^ better, constant" in printed(result, encoding="ascii")


def test_what_was_tuned_is_printed_and_what_was_not_is_not(classified):
    def chosen():
        return next((line for line in printed(classified, 200).splitlines() if "settings chosen" in line), "")

    tuning = classified["tuning"]
    assert "learned: learning rate 0.004;" in chosen() and "scale" not in chosen()
    tuning["lrs"] = [0.002]
    assert chosen() == ""
    for trial, scale in zip(tuning["trials"], (1.0, 3.0) * 3 * len(tuning["trials"]), strict=False):
        if trial["encoding"] == "learned":
            trial["scale"] = scale
    assert chosen().endswith("part: learned: initial scale × 1")
