"""MP342 and MP343: a sequence among pads."""

from __future__ import annotations

from milepost.finding import Verdict
from milepost.models.check.common import SAME, at_each_length, counted_from, formula, or_swap
from milepost.models.check.runnable_model import CHECKS, RunnableModel


@CHECKS.enter("MP342", "right pads")
def _right_pads(subject: RunnableModel) -> Verdict:
    return at_each_length(subject, lambda n, pads: _padded(subject, n, before=0, after=pads))


@CHECKS.enter("MP343", "left pads")
def _left_pads(subject: RunnableModel) -> Verdict:
    return at_each_length(subject, lambda n, pads: _padded(subject, n, before=pads, after=0))


def _padded(subject: RunnableModel, length: int, *, before: int, after: int) -> Verdict:
    tokens = subject.tokens(length)
    expected = subject.run(tokens)
    ids, mask = subject.pad_around(tokens, before=before, after=after)
    inner = slice(before, before + length)
    apart = subject.difference(subject.run(ids, mask)[:, inner], expected)
    if apart <= subject.tolerance:
        return Verdict("passed")
    side = "left" if before else "right"
    if subject.first is not None:
        counted = counted_from(mask) + subject.first
        if subject.close(subject.run(ids, mask, position_ids=counted)[:, inner], expected):
            got = f"forward without position_ids counts {side} pads: outputs differ by {apart:.2g}"
            return Verdict(
                "issue", got, expected=SAME, fix=f"pass position_ids = {formula(subject)}{or_swap(subject)}"
            )
    got = f"{side} pads change the outputs by {apart:.2g}"
    if before and _padded(subject, length, before=0, after=before).status == "passed":
        fix = f"pad on the right: tokenizer.padding_side = 'right'{or_swap(subject)}"
        return Verdict("issue", got, expected=SAME, fix=fix)
    return Verdict("issue", got, expected=SAME, fix="run sequences of one length together, without pads")
