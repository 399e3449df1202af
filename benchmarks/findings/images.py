"""Vision Transformers on scikit-learn's digits: with positions and without, and at twice the trained size."""

from __future__ import annotations

from functools import cache

from benchmarks.findings.study import CPU, Measures, Study, fit
from milepost.comparison.design import Model, Training
from milepost.tasks import Options, Task, find_task

SIDE = 8


@cache
def load() -> Task:
    return find_task("images").open("builtin:digits", Options(patch=2))


def measure(encoding: str, seed: int) -> Measures:
    """Accuracy at the trained size and at twice that."""
    task = load()
    model = fit(task, encoding, seed, SIDE, Model(layers=2, dim=64, heads=4), Training(steps=400))
    return {
        f"accuracy_{side}": task.evaluate(model, side, CPU).metrics["accuracy"] for side in (SIDE, 2 * SIDE)
    }


STUDY = Study(
    "images",
    "ViT of 2 layers, width 64 and 4 heads, 400 steps of 32, on scikit-learn's digits of 8 × 8 pixels in patches of 2 × 2, "
    "measured on held-out digits of 8 × 8 and resized to 16 × 16.",
    {
        name: name
        for name in ("learned(past=bicubic)", "learned(past=linear)", "learned(past=tile)", "none")
    },
    measure,
)  # fmt: skip
