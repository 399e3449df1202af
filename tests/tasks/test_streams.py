"""How a text that is one document is cut, and that no part is the end of the file alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from milepost.tasks import Options
from milepost.tasks.streams import Streams, _cut_in_blocks

REAL = Path(__file__).parents[3] / "shared" / "data" / "text" / "gutenberg"
LINES = [f"{number:06} {'word ' * (number % 9 + 5)}\n" for number in range(12_000)]
TEXT = "".join(LINES)


def numbers(part: str) -> list[int]:
    return [int(line.split()[0]) for line in part.splitlines()]


def test_blocks_of_each_part_come_from_all_over_the_text_and_are_whole_lines() -> None:
    parts = _cut_in_blocks(TEXT)
    assert sorted(number for part in parts for number in numbers(part)) == list(range(12_000))
    for part, share in zip(parts, (0.85, 0.05, 0.1), strict=True):
        assert len(part) / len(TEXT) == pytest.approx(share, abs=0.005)
        assert {number // 600 for number in numbers(part)} == set(range(20))
        assert numbers(part) == sorted(numbers(part))


def test_the_cut_is_a_function_of_the_text_and_its_places_are_not_always_the_same() -> None:
    assert _cut_in_blocks(TEXT) == _cut_in_blocks(TEXT)
    places = [numbers(_cut_in_blocks(TEXT)[2]), numbers(_cut_in_blocks(TEXT + "x 1\n")[2][:-4])]
    assert places[0][0] != places[1][0]


def test_the_end_of_a_file_has_its_own_share_of_the_test_part() -> None:
    shares = []
    for number in range(60):
        text = f"{number}\n" + "story of a kind\n" * 6_000 + "licence licence\n" * 700
        shares.append(_cut_in_blocks(text)[2].count("licence licence\n") * 16 / (len(text) / 10))
    assert np.mean(shares) == pytest.approx(700 / 6_700, abs=0.05)
    assert max(shares) < 0.3  # all of the test part, when it was the end


@pytest.mark.parametrize("size", [1, 2, 7, 40, 399, 5_000, 39_999, 40_001])
def test_a_short_text_is_cut_without_loss(size: int) -> None:
    text = ("a short line\n" * 4_000)[:size]
    parts = _cut_in_blocks(text)
    assert sum((Counter(part) for part in parts), Counter()) == Counter(text)
    if size >= 40:
        assert all(parts)


def test_where_a_text_was_cut_is_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    one = Streams.read(str(tmp_path / "a.txt"), Options())
    assert one.sha256 == Streams.read(str(tmp_path / "a.txt"), Options()).sha256
    assert one.facts["sha256"] != one.sha256


@pytest.mark.skipif(not REAL.exists(), reason="needs the real texts beside the project")
@pytest.mark.parametrize("name", ["11-0.txt", "1342-0.txt"])
def test_a_book_is_not_tested_on_its_licence(name: str) -> None:
    text = (REAL / name).read_text("utf-8-sig")
    licence = text[text.index("*** END OF") :]
    test = _cut_in_blocks(text)[2]
    lines = [line for line in test.splitlines() if len(line) > 40]
    assert sum(line in licence for line in lines) / len(lines) < 0.25
