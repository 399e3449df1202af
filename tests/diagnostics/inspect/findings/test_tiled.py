"""MP208: where it fires, and where it stays silent."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize(("period", "length"), [(128, 512), (77, 248), (500, 512), (9, 64)])
def test_a_tiled_table_is_found_with_its_period(fired, look, trained, period, length):
    rows = np.resize(trained(period, 64), (length, 64))
    found = look(rows)["MP208"]
    assert found.status == "issue"
    assert found.got.startswith(f"period {period}:")
    assert "MP206" not in fired(rows)


def test_a_tile_that_was_trained_a_little_is_found_and_one_trained_a_lot_is_not(fired, trained, noise):
    tiles = np.tile(trained(128, 64), (4, 1))
    size = np.std(tiles - tiles.mean(axis=0))
    assert "MP208" in fired(tiles + 0.05 * size * noise(512, 64))
    assert "MP208" not in fired(tiles + 0.5 * size * noise(512, 64))


def test_smooth_tables_have_no_period(look, sinusoid):
    for dim in (32, 64, 768):
        assert look(sinusoid(512, dim).astype(np.float32))["MP208"].status == "passed"
