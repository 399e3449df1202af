"""Absolute positions trained on moved inputs, long enough for the rarest positions: does moving still matter?"""

from __future__ import annotations

from benchmarks.findings import text
from benchmarks.findings.study import CPU, Measures, Study, fit
from milepost.comparison.design import Model, Training


def measure(encoding: str, seed: int) -> Measures:
    """Loss at the trained length, and its rise when short inputs are moved."""
    task = text.load()
    model = fit(task, encoding, seed, text.LENGTH, Model(layers=2, dim=64, heads=8), Training(steps=1200))
    windows = text.held_out(task)
    return {
        "loss_32": task.evaluate(model, text.LENGTH, CPU).metrics["loss"],
        **{f"shift_{shift}": text.shift_loss(model, windows, shift) for shift in text.SHIFTS},
    }


STUDY = Study(
    "shape",
    "As `text`, trained for 1,200 steps with all positions of an input moved on by 0 to 16.",
    {
        name: name
        for name in (
            "shape(inner=learned(rows=160),max_shift=16)",
            "shape(inner=sinusoidal,max_shift=16)",
        )
    },
    measure,
)
