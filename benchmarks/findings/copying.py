"""Copying one repeated symbol, learnt at lengths 1 to 10 and tried at 11 to 20: only counting helps."""

from __future__ import annotations

from functools import cache
from statistics import fmean

from benchmarks.findings.study import CPU, Measures, Study, fit
from milepost.comparison.design import Model, Training
from milepost.tasks import Options, Task, find_task

LENGTH = 10
INSIDE, PAST = (5, 10), (11, 12, 14, 16, 18, 20)


@cache
def load() -> Task:
    return find_task("copy").open("builtin:copy-repeated", Options())


def measure(encoding: str, seed: int) -> Measures:
    """Share of answers that are right to the last token, inside the trained lengths and past them."""
    task = load()
    model = fit(task, encoding, seed, LENGTH, Model(layers=3, dim=64, heads=8), Training(steps=1200))
    exact = {length: task.evaluate(model, length, CPU).metrics["exact_match"] for length in INSIDE + PAST}
    return {
        "inside": fmean(exact[length] for length in INSIDE),
        "past": fmean(exact[length] for length in PAST),
        **{f"exact_{length}": value for length, value in exact.items()},
    }


STUDY = Study(
    "copying",
    "GPT-2 of 3 layers, width 64 and 8 heads, 1,200 steps of 32, copies one symbol as often as it stands in the prompt: "
    "trained on 1 to 10 times, measured on prompts it never met, at lengths 5 and 10 and at 11, 12, 14, 16, 18 and 20.",
    {
        name: name
        for name in ("learned(rows=42)", "sinusoidal", "t5", "none")
    },
    measure,
)  # fmt: skip
