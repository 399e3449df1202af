"""MP204: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings import Facts


def test_reserved_rows_that_hold_values_are_named_as_stored(look, trained):
    rows = np.concatenate([np.ones((1, 64), np.float32), np.zeros((1, 64), np.float32), trained(128, 64)])
    found = look(rows, first_row=2, padding_row=1)["MP204"]
    assert (found.status, found.where) == ("tip", "row 0")
    rows[0] = 0
    assert look(rows, first_row=2, padding_row=1)["MP204"].status == "passed"
    assert look(rows)["MP204"].status == "not_applicable"


def test_class_tokens_are_not_reserved_rows(look, trained):
    rows = trained(128, 64)
    for options in ({"prefix_rows": 1}, {"prefix_rows": 1, "first_row": 1}):
        found = look(rows, kind="patches", **options)["MP204"]
        assert found.status == "not_applicable"
    assert Facts(rows, prefix_rows=1, first_row=1).start == 1


def test_rows_before_a_position_0_that_the_user_named_may_be_class_tokens(look, trained):
    rows = trained(128, 64)
    found = look(rows, first_row=1, knows_reserved_rows=False)["MP204"]
    assert (found.status, found.where) == ("cannot_tell", "")
    assert "class token" in found.got
    rows[0] = 0
    assert look(rows, first_row=1, knows_reserved_rows=False)["MP204"].status == "passed"
