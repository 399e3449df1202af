"""Causal language models on CPython's documentation, trained at length 32: length, order, shifts, probes."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn
from torch.nn import functional

from benchmarks.findings.probe import probe
from benchmarks.findings.study import CPU, Measures, Study, fit
from milepost.comparison.design import Model, Training
from milepost.tasks import CausalLM, Options

LENGTH = 32
LENGTHS = (32, 64, 128)
SHIFTS = (4, 16)
PROBED = ("sinusoidal", "learned(rows=160)", "alibi", "none")


@cache
def load() -> CausalLM:
    return CausalLM.open("builtin:python-docs", Options())


def measure(encoding: str, seed: int) -> Measures:
    task = load()
    model = fit(task, encoding, seed, LENGTH, Model(layers=2, dim=64, heads=8), Training(steps=400))
    found = {f"loss_{length}": task.evaluate(model, length, CPU).metrics["loss"] for length in LENGTHS}
    windows = held_out(task)
    found |= {f"shift_{shift}": shift_loss(model, windows, shift) for shift in SHIFTS}
    if encoding in PROBED:
        errors = probe(model, torch.from_numpy(task.streams.windows(seed, 0, 400, LENGTH)), seed)
        found |= {f"probe_{layer}": error for layer, error in enumerate(errors)}
    return found


@torch.no_grad()
def shift_loss(model: nn.Module, windows: torch.Tensor, shift: int) -> float:
    """How much the loss rises when all positions of short inputs are moved on together, in nats.

    All positions stay inside those that training met, so that a table has trained rows for them.
    """
    losses = []
    for begin in (0, shift):
        positions = torch.arange(begin, begin + windows.shape[1] - 1)[None].expand(len(windows), -1)
        logits = model(input_ids=windows[:, :-1], position_ids=positions, use_cache=False).logits
        losses.append(functional.cross_entropy(logits.flatten(0, 1).double(), windows[:, 1:].flatten()))
    return (losses[1] - losses[0]).item()


def held_out(task: CausalLM) -> torch.Tensor:
    ids = torch.from_numpy(task.streams.parts["test"]).long()
    short = LENGTH // 2 + 1
    return ids[: len(ids) // short * short].view(-1, short)[:1024]


STUDY = Study(
    "text",
    "Causal language models (GPT-2, 2 layers, width 64, 8 heads, 400 steps of 32) on the characters of CPython's "
    "documentation, trained at length 32.",
    {
        name: name
        for name in (
            "learned(rows=160)", "sinusoidal", "rotary", "alibi", "t5", "none",
            "shape(inner=learned(rows=160),max_shift=32)", "shape(inner=sinusoidal,max_shift=32)",
        )
    },
    measure,
)  # fmt: skip
