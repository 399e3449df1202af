"""MP207: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_stop_the_other_checks(look, trained, value):
    rows = np.concatenate([np.zeros((2, 64), np.float32), trained(128, 64)])
    rows[1, 3] = value
    found = look(rows, first_row=2)
    assert (found["MP207"].status, found["MP207"].where) == ("issue", "row 1")
    assert {other.status for code, other in found.items() if code != "MP207"} == {"cannot_tell"}
