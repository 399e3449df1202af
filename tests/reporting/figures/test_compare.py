import re
from itertools import pairwise

import pytest

from milepost.reporting.compare_summary import CompareSummary
from milepost.reporting.figures import compare as figures
from milepost.reporting.figures import lines


def test_bins_keep_the_mean_of_a_curve_and_never_mix_trained_with_untrained():
    trained, longest = 50, 300
    edges = figures.position_edges(longest, trained)
    assert edges[0] == 1 and edges[-1] == longest + 1 and trained + 1 in edges
    curve = [0.0] * trained + [1.0] * (longest - trained)
    assert {value for _, value in figures.bins(curve, edges)} == {0.0, 1.0}


def test_a_shorter_curve_ends_where_it_ends():
    assert figures.bins([1.0, 2.0], figures.position_edges(64, 2))[-1] == (2.0, 2.0)


def test_spread_names_are_apart_in_order_and_below_the_top():
    values = [50.0, 50.0, 51.0, 99.0]
    placed = lines.spread(values, 10.0, 100.0)
    assert all(b - a >= 10 for a, b in pairwise(placed))
    assert max(placed) <= 100


@pytest.mark.parametrize("number_of_encodings", [1, 2, 8, 9, 20])
def test_groups_hold_every_encoding_once_and_the_baseline_in_each(number_of_encodings):
    names = [f"e{k}" for k in range(number_of_encodings)]
    groups = figures.groups_of(names, "e0")
    assert all(group[0] == "e0" and len(group) <= 8 for group in groups)
    assert sorted(name for group in groups for name in group[1:]) == sorted(names[1:])


def test_the_summary_averages_what_finished_and_nothing_else(result):
    summary = CompareSummary.from_result(result)
    t5 = "t5(buckets=32,max_distance=128)"
    done = [t for t in result["trials"] if t["encoding"] == t5 and t["status"] == "done"]
    assert len(done) == 2
    assert summary.value(t5, 32) == pytest.approx(sum(t["metrics"]["32"]["loss"] for t in done) / 2)
    assert summary.cost(t5).tokens_per_second == sum(t["measured"]["tokens_per_second"] for t in done) / 2
    assert (summary.cost(t5).done, summary.cost(t5).trials) == (2, 3)
    assert summary.undefined("learned", 64) and not summary.undefined("alibi", 64)
    assert summary.curve("learned")[0] == pytest.approx(
        sum(t["loss_by_position"][0] for t in result["trials"] if t["encoding"] == "learned") / 3
    )


def test_names_stay_on_the_page_where_one_length_was_measured(result):
    document = result | {"spec": result["spec"] | {"lengths": [32]}}
    [drawing, *_] = figures.value_by_length(CompareSummary.from_result(document))
    width = float(re.search(r'viewBox="0 0 ([\d.]+) ', drawing.svg)[1])
    named = [
        float(x)
        for x, word in re.findall(r'<text[^>]*?x="([\d.]+)"[^>]*>([^<]*)</text>', drawing.svg)
        if word in document["spec"]["encodings"]
    ]
    assert named and max(named) < width


@pytest.mark.parametrize("extreme", [1e300, -1e300, 1.7e308, float("inf"), float("nan")])
def test_values_that_no_axis_holds_break_the_line_and_are_still_said(extreme):
    chart = lines.Chart(key="k", title="t", x="x", y="y", ticks=[8, 16, 32], trained=8)
    mixed = lines.Line("a", [8, 16, 32], [1.0, extreme, 2.0], [(16, extreme), (32, 2.0)])
    alone = lines.Line("b", [8, 16, 32], [extreme] * 3)
    svg = lines.draw_lines([mixed, alone], chart).svg
    assert "e+2" not in re.sub("<desc.*?</desc>", "", svg) and "inf" not in svg.split("</desc>")[1]
    assert "a: 1.000 at 8, 2.000 at 32." in svg


def test_learned_table_of_huge_norms_is_drawn():
    picture = {"cosine": [[1.0, 0.5], [0.5, 1.0]], "norms": [1e300, 1.7e308], "rows": 2}
    assert figures.learned_table("learned", picture, 0).svg.startswith("<svg")
