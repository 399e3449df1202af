"""MP346 and MP347: a pad id inside a text, and embeddings in place of ids."""

from __future__ import annotations

import torch

from milepost.finding import Verdict
from milepost.models.check.common import counted_from, formula, or_swap
from milepost.models.check.runnable_model import CHECKS, RunnableModel


@CHECKS.enter("MP346", "a pad id as an ordinary token", most="tip")
def _pad_id_inside(subject: RunnableModel) -> Verdict:
    tokens = subject.tokens(subject.length)
    tokens[:, subject.length // 2] = subject.pad
    if subject.first is None:
        return Verdict("cannot_tell", "the model takes no position_ids to hold its own counting against")
    places = torch.arange(subject.length, device=subject.device)[None] + subject.first
    apart = subject.difference(subject.run(tokens), subject.run(tokens, position_ids=places))
    if apart <= subject.tolerance:
        return Verdict("passed")
    return Verdict(
        "tip",
        f"positions follow the ids, not the mask: id {subject.pad} in mid-sequence takes no position, "
        f"and outputs differ by {apart:.2g}",
        expected="a token that the mask shows takes a position",
        fix=f"keep id {subject.pad} out of texts, or pass position_ids",
    )


@CHECKS.enter("MP347", "inputs_embeds in place of input_ids, with left pads")
def _embedded(subject: RunnableModel) -> Verdict:
    if "inputs_embeds" not in subject.takes:
        return Verdict("not_applicable", "the model takes no inputs_embeds")
    tokens = subject.tokens(subject.length)
    table = subject.model.get_input_embeddings()
    if not subject.close(subject.run(None, inputs_embeds=table(tokens)), subject.run(tokens)):
        return Verdict(
            "cannot_tell", "inputs_embeds change the outputs without pads too: more than positions"
        )
    ids, mask = subject.pad_around(tokens, before=subject.length // 2, after=0)
    inner = slice(subject.length // 2, None)
    expected = subject.run(ids, mask)[:, inner]
    apart = subject.difference(subject.run(None, mask, inputs_embeds=table(ids))[:, inner], expected)
    if apart <= subject.tolerance:
        return Verdict("passed")
    got = f"forward with inputs_embeds counts left pads, with input_ids it does not: {apart:.2g} apart"
    fix = "pad on the right"
    if subject.first is not None:
        counted = counted_from(mask) + subject.first
        explicit = subject.run(None, mask, inputs_embeds=table(ids), position_ids=counted)[:, inner]
        if subject.close(explicit, expected):
            fix = f"pass position_ids = {formula(subject)}"
    return Verdict("issue", got, expected="the same outputs as with input_ids", fix=fix + or_swap(subject))
