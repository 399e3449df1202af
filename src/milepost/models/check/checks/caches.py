"""MP345 and MP349: decoding from a cache, and ``generate``."""

from __future__ import annotations

import torch
from transformers import GenerationConfig

from milepost.finding import Verdict
from milepost.models.check.common import at_each_length, or_swap
from milepost.models.check.runnable_model import CHECKS, RunnableModel


@CHECKS.enter("MP345", "decoding from a cache, in chunks and token by token")
def _cached(subject: RunnableModel) -> Verdict:
    if subject.paired or not subject.causal or "use_cache" not in subject.takes:
        return Verdict("not_applicable", "no decoder with a cache is run")
    if subject.needs_whole:
        return Verdict("not_applicable", "the encoding needs the whole input, and a cache is a clear error")
    return at_each_length(subject, lambda length, _: _decoded(subject, length))


def _decoded(subject: RunnableModel, length: int) -> Verdict:
    tokens = subject.tokens(length)
    expected = subject.run(tokens)
    apart = subject.difference(subject.decode(tokens, explicit=False), expected)
    if apart <= subject.tolerance:
        return Verdict("passed")
    got = f"decoding from a cache differs from one forward pass by {apart:.2g}"
    fix = "decode without a cache: use_cache=False"
    if subject.first is not None and subject.close(subject.decode(tokens, explicit=True), expected):
        fix = "pass position_ids that go on where the cache ends"
    return Verdict(
        "issue", got, expected="the same outputs as in one forward pass", fix=fix + or_swap(subject)
    )


@CHECKS.enter("MP349", "generate, with left pads and without a cache")
def _generated(subject: RunnableModel) -> Verdict:
    if subject.paired or not subject.causal or not subject.model.can_generate():
        return Verdict("not_applicable", "the model does not generate, or not from one sequence")
    if subject.needs_whole:
        return Verdict("not_applicable", "the encoding needs the whole input, and a cache is a clear error")
    tokens, new = subject.tokens(subject.length - 2), 3
    ids, mask = subject.pad_around(tokens, before=2, after=0)
    settings = GenerationConfig(
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        pad_token_id=subject.pad,
        output_logits=True,
        return_dict_in_generate=True,
    )
    runs = [
        subject.model.generate(one, attention_mask=seen, generation_config=settings, use_cache=cached)
        for one, seen, cached in (
            (tokens, torch.ones_like(tokens), True),
            (tokens, torch.ones_like(tokens), False),
            (ids, mask, True),
        )
    ]
    alone, uncached, padded = (torch.stack(run.logits, 1) for run in runs)
    apart = subject.difference(alone, uncached)
    if apart > subject.tolerance:
        got = f"generate() with a cache differs from generate(use_cache=False) by {apart:.2g}"
        return Verdict(
            "issue", got, expected="the same scores without a cache", fix=f"use_cache=False{or_swap(subject)}"
        )
    apart = subject.difference(padded, alone)
    if apart <= subject.tolerance:
        return Verdict("passed")
    got = f"generate() with left pads differs by {apart:.2g}"
    return Verdict(
        "issue", got, expected="the same scores as alone", fix=f"one prompt at a time{or_swap(subject)}"
    )
