"""MP203: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np


def test_a_last_row_left_out_is_found(cut, fired, look, trained):
    rows = cut(trained(129, 128), 128, 0.02)
    assert fired(rows) == {"MP203"}
    assert look(rows)["MP203"].where == "row 128"


def test_counts_decide_about_the_last_row(look, noise):
    counts = np.r_[np.full(127, 5), 0]
    assert look(noise(128, 64), trained_counts=counts)["MP203"].status == "issue"
    assert look(noise(128, 64), trained_counts=counts + 1)["MP203"].status == "passed"
