"""MP210: where it fires, and where it stays silent."""

from __future__ import annotations


def test_an_outlier_in_the_first_row_is_found(fired, look, trained):
    rows = trained(256, 64)
    rows[0] *= 4
    assert fired(rows) == {"MP210"}
    assert look(rows, kind="patches")["MP210"].status == "not_applicable"


def test_untrained_rows_do_not_make_the_first_row_an_outlier(cut, look, trained):
    assert look(cut(trained(512, 128), 64, 0.01))["MP210"].status == "passed"
