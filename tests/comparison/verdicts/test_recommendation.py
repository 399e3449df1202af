from __future__ import annotations

from typing import Any

import pytest

from milepost.comparison.verdicts.pairs import build_family
from milepost.comparison.verdicts.ranking import find_standing
from milepost.comparison.verdicts.recommendation import Decision, decide
from milepost.comparison.verdicts.scores import Criterion
from milepost.tasks import Floor

GOOD, BAD, CLOSE = [1.0, 1.01, 0.99], [2.0, 2.02, 1.99], [1.0, 1.02, 1.01]


def trials(**scores: list[Any]) -> list[dict[str, Any]]:
    """Trials by encoding; None is an encoding without an answer, text a status."""
    return [
        {
            "encoding": name,
            "seed": seed,
            "status": value if isinstance(value, str) else "done",
            "metrics": {} if isinstance(value, str) else {"8": None if value is None else {"loss": value}},
        }
        for name, values in scores.items()
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("scores", "floor", "decision"),
    [
        ({"none": GOOD, "t5": BAD}, None, Decision("none", "winner")),
        ({"none": GOOD, "t5": CLOSE}, None, Decision(None, "no_winner")),
        ({"none": GOOD, "t5": BAD}, Floor(1.0), Decision(None, "at_floor")),
        ({"none": GOOD[:2], "t5": BAD[:2]}, None, Decision(None, "no_verdict")),
        ({"none": [0.5, 0.5, "diverged"], "t5": GOOD, "alibi": BAD}, None, Decision(None, "behind_unjudged")),
        ({"none": ["diverged", 2.0, 2.0], "t5": GOOD}, None, Decision(None, "only_judged")),
        ({"none": GOOD, "t5": [None] * 3}, None, Decision("none", "only_answer")),
        ({"none": GOOD}, None, Decision(None, "only_compared")),
    ],
)
def test_each_outcome_is_decided_by_what_the_trials_are(
    scores: dict[str, list[Any]], floor: Floor | None, decision: Decision
) -> None:
    rows = trials(**scores)
    family = build_family(rows, 8, "none", Criterion())
    assert decide(find_standing(family, rows, floor=floor)) == decision
