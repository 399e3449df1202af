"""Which encoding a sweep recommends, or why none: facts, which go no further than its intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from milepost.comparison.verdicts.ranking import Standing

Outcome = Literal[
    "no_verdict",  # no encoding brings what a verdict needs
    "at_floor",  # even the best does no better than an answer that ignores the input
    "behind_unjudged",  # one without a verdict has a better mean
    "only_judged",  # one encoding alone brings what a verdict needs
    "only_answer",  # one encoding alone has an answer
    "only_compared",
    "winner",
    "no_winner",
]


@dataclass(frozen=True)
class Decision:
    """What is recommended.

    Args:
        encoding: None where none can be named.
        outcome: what decided.
    """

    encoding: str | None
    outcome: Outcome


def decide(standing: Standing) -> Decision:
    """Name the encoding to take at the deciding length, or say why none can be named.

    An encoding is named only if its verdict against *each* other encoding that can be judged is *better* or
    *constant_better*. The verdicts are those of the family of all pairs, which ``build_comparisons`` shows too, so
    the sentence and the table cannot disagree, and a false winner is named in at most 5 % of sweeps. The truly
    best encoding stays among those not called worse in at least 95 % of sweeps. No encoding is named with fewer
    than three seeds, none while another that cannot be judged (too few seeds, diverged, not converged) has a better
    mean, none that scores no better than an answer that ignores the input, and none whose lead depends on
    the settings that were tried. Where the others have no answer, the only one that answers is named.

    Source: Holm 1979 over all pairs. Differs from comparisons with the sample best (Hsu 1984): corrected paired
    t tests instead of a pooled spread, so unequal spreads do no harm.
    """
    best = standing.best
    if best is None:
        return Decision(None, "no_verdict")
    if standing.best_at_floor:
        return Decision(None, "at_floor")
    if standing.ahead:
        return Decision(None, "behind_unjudged")
    if not standing.rivals:
        if standing.aside:
            return Decision(None, "only_judged")
        return Decision(best, "only_answer") if standing.unanswered else Decision(None, "only_compared")
    return Decision(best, "winner") if len(standing.open) == 1 else Decision(None, "no_winner")
