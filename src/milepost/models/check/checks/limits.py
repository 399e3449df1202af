"""MP348: one token past the last position."""

from __future__ import annotations

from torch import Tensor

from milepost.errors import MilepostError
from milepost.finding import Verdict
from milepost.models.check.common import or_swap, shown
from milepost.models.check.runnable_model import CHECKS, RunnableModel


@CHECKS.enter("MP348", "one token past the last position")
def _past_the_end(subject: RunnableModel) -> Verdict:
    limit, where = subject.limit.length, subject.limit.where
    if limit is None:
        return Verdict("not_applicable", "no limit is claimed")
    if limit + 1 > subject.longest:
        return Verdict(
            "cannot_tell", f"{limit} positions ({where}) are more than the {subject.longest} that are tried"
        )
    if subject.limit.hard and subject.device.type != "cpu":
        return Verdict("cannot_tell", "on a device this may end the process: move the model to the CPU")
    tokens = subject.tokens(limit + 1)
    try:
        subject.run(tokens[:, :limit])
    except Exception as error:
        got = f"{limit} positions ({where}), yet {limit} tokens fail: {shown(error)}"
        return Verdict(
            "issue",
            got,
            expected=f"{limit} tokens are answered",
            fix="make all lengths agree: milepost doctor",
        )
    try:
        after = subject.run(tokens)[:, -1:]
    except Exception as error:
        return _judge_error(subject, limit, error)
    return _judge_answer(subject, limit, after)


def _judge_error(subject: RunnableModel, limit: int, error: Exception) -> Verdict:
    if isinstance(error, MilepostError | ValueError) and str(limit) in str(error):
        return Verdict("passed", f"clear error: {shown(error)}")
    return Verdict(
        "tip",
        f"obscure error at token {limit + 1}: {shown(error)}",
        expected="an error that names the limit",
        fix=f"cut inputs at {limit} tokens{or_swap(subject)}",
    )


def _judge_answer(subject: RunnableModel, limit: int, after: Tensor) -> Verdict:
    if not after.isfinite().all():
        return Verdict(
            "issue", f"NaN at token {limit + 1}", expected="an error", fix=f"cut inputs at {limit} tokens"
        )
    if not subject.limit.hard:
        return Verdict("passed", f"no limit: token {limit + 1} is answered")
    return Verdict(
        "issue",
        f"token {limit + 1} is answered without an error, and the table has no row for it ({subject.limit.where})",
        expected="an error",
        fix=f"cut inputs at {limit} tokens{or_swap(subject)}",
    )
