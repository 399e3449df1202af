"""CPU time of seeds trained at once as a batch of models, beside the same seeds one after another; one thread.

Both ways take turns; each number is the median over rounds of a batch's time divided by that of its models alone.
``python benchmarks/batch_speed.py --help`` for sizes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from milepost.comparison.design import ENCODINGS, Design, Model, Training, Trial, read_encodings
from milepost.comparison.trials.batched import train_together
from milepost.comparison.trials.checkpoint import Checkpoints
from milepost.comparison.trials.training import train
from milepost.tasks import CausalLM, Options

DATA, CPU = "builtin:python-docs", torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("layers", 2), ("dim", 64), ("heads", 8), ("length", 32), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--encodings", default=",".join(ENCODINGS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = CausalLM.open(DATA, Options())
    size = Model(layers=options.layers, dim=options.dim, heads=options.heads)
    recipe = Training(steps=options.steps, batch=options.batch)
    design = Design("causal-lm", DATA, task.sha256, options.length, model=size, training=recipe)
    for name in read_encodings(options.encodings):
        trials = [Trial(design, name, seed) for seed in range(options.models)]
        ratios = [measure_ratio(trials, task) for _ in range(options.rounds + 1)][1:]
        print(f"{name:<12}{statistics.median(ratios):>6.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")


def measure_ratio(trials: list[Trial], task: CausalLM) -> float:
    """CPU time of one batch as a share of that of its trials alone."""
    begin = time.process_time()
    for trial in trials:
        train(trial, task, CPU, lambda step: None)
    alone = time.process_time() - begin
    with tempfile.TemporaryDirectory() as folder:
        kept = [
            Checkpoints(Path(folder, trial.key()), {}, every_seconds=1e6, on_event=lambda *_, **__: None)
            for trial in trials
        ]
        begin = time.process_time()
        train_together(trials, task, CPU, lambda step: None, kept)
        return (time.process_time() - begin) / alone


if __name__ == "__main__":
    main()
