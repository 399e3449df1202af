"""MP341 and MP344: a sequence in a batch, and behind another document."""

from __future__ import annotations

import torch
from torch import Tensor

from milepost.finding import Verdict
from milepost.models.check.common import SAME, or_swap, shown
from milepost.models.check.runnable_model import CHECKS, RunnableModel


@CHECKS.enter("MP341", "a batch, against each sequence alone")
def _batched(subject: RunnableModel) -> Verdict:
    rows = subject.tokens(subject.length, rows=3, seed=1)
    alone = torch.cat([subject.run(row[None]) for row in rows])
    apart = subject.difference(subject.run(rows), alone)
    if apart <= subject.tolerance:
        return Verdict("passed")
    return Verdict(
        "issue", f"rows of a batch change each other by {apart:.2g}", expected=SAME, fix="run one at a time"
    )


@CHECKS.enter("MP344", "packed documents, with a block mask")
def _packed(subject: RunnableModel) -> Verdict:
    if subject.first is None:
        return Verdict("not_applicable", "the model takes no position_ids, so documents cannot restart")
    lengths = (subject.length, subject.length - 2)
    documents = [subject.tokens(n, seed=seed) for seed, n in enumerate(lengths)]
    expected = torch.cat([subject.run(document) for document in documents], 1)
    places = torch.cat([torch.arange(n, device=subject.device) for n in lengths])[None] + subject.first
    mask = _block_mask(lengths, causal=subject.causal).to(expected)
    try:
        got = subject.run(torch.cat(documents, 1), mask, position_ids=places)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return Verdict("not_applicable", f"the model takes no block mask: {shown(error)}")
    apart = subject.difference(got, expected)
    if apart <= subject.tolerance:
        return Verdict("passed")
    return Verdict(
        "issue",
        f"a document behind another changes by {apart:.2g}, with positions that restart and a block mask",
        expected=SAME,
        fix=f"do not pack documents for this model{or_swap(subject)}",
    )


def _block_mask(lengths: tuple[int, ...], *, causal: bool) -> Tensor:
    """Additive, ``(1, 1, seq, seq)``: 0 within a document, the lowest number elsewhere."""
    seen = torch.block_diag(*(torch.ones(n, n) for n in lengths)).bool()
    if causal:
        seen &= torch.ones_like(seen).tril()
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]
