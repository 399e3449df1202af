"""MP206: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np


def test_equal_rows_are_found(look, trained):
    rows = trained(128, 64)
    assert look(rows)["MP206"].status == "passed"
    rows[[9, 50]] = rows[3]
    found = look(rows)["MP206"]
    assert (found.status, found.where) == ("issue", "rows 3, 9, 50")
    rows[9, 0] = np.nextafter(rows[9, 0], 1)
    assert look(rows)["MP206"].where == "rows 3, 50"
