from __future__ import annotations

import math

import pytest

from milepost.statistics import judge_difference, measure_difference, measure_equivalence, or_none

SMALL = [0.004, 0.005, 0.006]
LARGE = [0.4, 0.5, 0.6]
WIDE = [0.4, -0.5, 0.6]
CASES = {
    "too_few": ([0.4, 0.5], {"fewest": 3}),
    "same": ([0.0, 0.0, 0.0], {}),
    "equivalent": (SMALL, {"margin": 0.02}),
    "constant_worse": ([0.3, 0.3, 0.3], {}),
    "worse": (LARGE, {"margin": 0.02}),
    "undecided": (WIDE, {"margin": 0.02}),
}
TURNED = {"worse": "better", "constant_worse": "constant_better"}


def judge(values: list[float], *, higher: bool = False, fewest: int = 2, margin: float = 0.0) -> str:
    found = measure_difference(values)
    equivalence = measure_equivalence(found, margin)
    return judge_difference(
        found, found.p, higher_is_better=higher, fewest=fewest, margin=margin, equivalence=equivalence
    )


@pytest.mark.parametrize("verdict", CASES)
def test_each_line_of_the_table_has_its_verdict_and_the_other_side_the_opposite(verdict: str) -> None:
    values, options = CASES[verdict]
    assert judge(values, **options) == verdict
    turned = TURNED.get(verdict, verdict)
    assert judge([-value for value in values], **options) == turned
    assert judge(values, higher=True, **options) == turned


def test_a_constant_difference_is_equivalent_inside_the_margin_alone() -> None:
    assert judge([0.3, 0.3, 0.3], margin=0.31) == "equivalent"
    assert judge([0.3, 0.3, 0.3], margin=0.3) == "constant_worse"


def test_equivalence_is_asked_before_significance() -> None:
    found = measure_difference(SMALL)
    assert found.p < 0.05
    assert judge(SMALL, margin=0.02) == "equivalent"
    assert judge(SMALL) == "worse"


def test_the_adjusted_p_decides_and_what_is_not_known_decides_nothing() -> None:
    found = measure_difference(LARGE)
    assert [judge_difference(found, p, higher_is_better=False) for p in (0.049, 0.05, math.nan)] == [
        "worse",
        "undecided",
        "undecided",
    ]
    assert judge_difference(found, 0.01, higher_is_better=False, margin=math.nan) == "worse"


def test_numbers_that_json_cannot_hold_are_none() -> None:
    assert [or_none(value) for value in (0.0, -1.5, math.nan, math.inf, -math.inf)] == [0.0, -1.5] + [
        None
    ] * 3
