"""MP205: where it fires, and where it stays silent."""

from __future__ import annotations


def test_zero_rows_are_found_but_for_the_padding_row(look, trained):
    rows = trained(128, 64)
    rows[[0, 7]] = 0
    found = look(rows)["MP205"]
    assert (found.status, found.where) == ("issue", "rows 0, 7")
    assert look(rows, padding_row=0)["MP205"].where == "row 7"
    assert look(rows, first_row=8)["MP205"].status == "passed"
