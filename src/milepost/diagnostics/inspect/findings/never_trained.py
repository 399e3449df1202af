"""MP201: rows that were never trained."""

from __future__ import annotations

import numpy as np

from milepost.diagnostics.inspect.findings.facts import CHECKS, Facts
from milepost.diagnostics.inspect.findings.noise import noise_band
from milepost.diagnostics.inspect.findings.tail import EVIDENCE, LEAST_TAIL, read_tail
from milepost.finding import Verdict

_FIX = "do not feed more positions than were trained: milepost extend MODEL --to N --method crop, or train longer inputs"


@CHECKS.enter("MP201", "rows that were never trained")
def check(facts: Facts) -> Verdict:
    """Exact from counts. Else a tail of noise after rows that differ from it in order, size or rank; else it cannot tell."""
    if facts.kind == "fixed_sinusoid":
        return Verdict("not_applicable", "a fixed sinusoid is not trained")
    if facts.counts is not None:
        return _by_counts(facts, facts.counts)
    if facts.kind == "patches":
        return Verdict("not_applicable", "every patch of an image trains its row")
    if len(facts.positions) < 2 * LEAST_TAIL:
        return Verdict("cannot_tell", f"needs {2 * LEAST_TAIL} positions, there are {len(facts.positions)}")
    tail = read_tail(facts)
    if tail.state == "trained":
        return Verdict(
            "passed", f"the last {LEAST_TAIL} rows are alike as random rows are not: they were trained"
        )
    if tail.state == "untrained":
        return Verdict(
            "issue",
            f"random rows of norm {tail.level:.4g}{_origin(facts, tail.level)}; rows before them have norm {tail.before:.4g} "
            f"(median) and {EVIDENCE[tail.evidence]}",
            facts.where(range(tail.start, len(facts.positions))),
            "rows that training moved",
            _FIX,
        )
    if tail.state == "all_noise":
        got = f"every row looks random, with a norm of about {tail.level:.4g}"
    else:
        got = (
            f"rows from {facts.start + tail.start} on look random (norm {tail.level:.4g}), and nothing separates them clearly "
            "from the rows before them"
        )
    return Verdict(
        "cannot_tell",
        f"{got}: training may have moved rows little compared with their start, or not at all",
        fix="compare with the table before training: milepost inspect MODEL --compare INITIAL; or count with milepost's layers",
    )


def _by_counts(facts: Facts, counts: np.ndarray) -> Verdict:
    never = np.flatnonzero(counts == 0)
    if not len(never):
        return Verdict("passed", "every row got a gradient, by the counts stored with the table")
    return Verdict(
        "issue",
        f"{len(never)} of {len(counts)} rows got no gradient, by the counts stored with the table",
        facts.where(never),
        "a gradient for every row",
        _FIX,
    )


def _origin(facts: Facts, level: float) -> str:
    """What the level is compared with the norm that the configuration starts rows with."""
    if not facts.initial_sd:
        return ""
    start = facts.initial_sd * np.sqrt(facts.dim)
    ratio = level / start
    if abs(ratio - 1) < noise_band(facts.dim) / 2:
        return f", as initialised ({facts.initial_sd:g} x sqrt({facts.dim}) = {start:.4g})"
    if ratio < 1:
        return f", {ratio:.3g} of the initial {start:.4g}: shrunk by weight decay"
    return f", {ratio:.3g} of the configured initial {start:.4g}"
