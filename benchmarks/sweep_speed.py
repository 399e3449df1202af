"""Wall time of a sweep by two workers beside one process of one thread that runs its trials in turn.

Both sides train the same trials and measure them at the same lengths; the sweep starts its workers and writes its
folder besides. Only a machine with two idle cores gives a number that means anything: the load is printed.
``python benchmarks/sweep_speed.py --help`` for sizes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from milepost.api.compare import compare
from milepost.comparison import Model, Training
from milepost.comparison.design import Design, Trial, read_encodings
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.trials.run import answers, write_trained
from milepost.comparison.trials.training import train
from milepost.tasks import CausalLM, Options

DATA = "builtin:python-docs"
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encodings", default="learned,rotary,alibi,none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        one_by_one(options, RunFolder(Path(folder) / "in-turn"))
        in_turn = time.perf_counter() - begin
        begin = time.perf_counter()
        compare(
            DATA,
            encodings=options.encodings,
            lengths=CausalLM.lengths,
            seeds=options.seeds,
            steps=options.steps,
            workers=options.workers,
            out=Path(folder) / "sweep",
        )
        sweep = time.perf_counter() - begin
    print(f"load before: {load:.1f} on {os.cpu_count()} processors")
    print(f"in turn, one thread: {in_turn:.1f} s")
    print(f"{options.workers} workers:           {sweep:.1f} s, {sweep / in_turn:.2f} of it")


def one_by_one(options: argparse.Namespace, folder: RunFolder) -> None:
    """Train and measure all trials in this process."""
    torch.set_num_threads(1)
    task = CausalLM.open(DATA, Options())
    design = Design(
        "causal-lm",
        DATA,
        task.sha256,
        task.train_length,
        model=Model(),
        training=Training(steps=options.steps),
    )
    for seed in range(options.seeds):
        for name in read_encodings(options.encodings):
            trial = Trial(design, name, seed)
            trained = train(trial, task, CPU, lambda step: None)
            record = write_trained(trial, task, folder, trained)
            for length in task.lengths:
                if answers(record, task, length):
                    task.evaluate(trained.model, length, CPU)


if __name__ == "__main__":
    main()
