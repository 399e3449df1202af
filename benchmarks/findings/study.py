"""What all studies share: training one model, and keeping what was measured."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.trials.training import train
from milepost.encodings import canonical
from milepost.storage.files import durable
from milepost.tasks import Task

RESULTS = Path(__file__).with_name("results")
CPU = torch.device("cpu")
Measures = dict[str, float]


@dataclass(frozen=True)
class Study:
    """Models that are trained alike, and what is measured on each.

    Args:
        name: of the study and its file.
        sentence: what is trained, for the page.
        arms: what differs between the models, by label.
        measure: trains and measures the model of an arm and a seed.
    """

    name: str
    sentence: str
    arms: Mapping[str, Any]
    measure: Callable[[Any, int], Measures]

    def run(self, seeds: int) -> Path:
        """Train what is missing, seed by seed, in turn; each model's measures are kept as soon as they are there."""
        torch.set_num_threads(1)
        path = RESULTS / f"{self.name}.json"
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        fresh = {
            "study": self.name,
            "sentence": self.sentence,
            "versions": {name: version(name).split("+")[0] for name in ("torch", "transformers")},
        }
        if any(found.get(name) != fresh[name] for name in ("sentence", "versions")):
            found = {}  # of other models
        measured: dict[str, list[Measures]] = {
            arm: found.get("measured", {}).get(arm, []) for arm in self.arms
        }
        seconds = found.get("cpu_seconds", 0.0)
        for seed, arm in itertools.product(range(seeds), self.arms):
            if len(measured[arm]) <= seed:
                begin = time.process_time()
                measured[arm].append(self.measure(self.arms[arm], seed))
                seconds += time.process_time() - begin
                write(path, {**fresh, "cpu_seconds": round(seconds, 1), "measured": measured})
                print(f"{self.name}: {arm}, seed {seed}: {_short(measured[arm][-1])}", flush=True)
        return path


@dataclass(frozen=True)
class Measured:
    """What a study left behind, as findings ask for it.

    Args:
        by_arm: one dictionary of measures a seed, by arm.
    """

    by_arm: Mapping[str, Sequence[Measures]]

    @classmethod
    def read(cls, study: str) -> Measured | None:
        """The last run of a study; None where there is none."""
        path = RESULTS / f"{study}.json"
        return cls(json.loads(path.read_text("utf-8"))["measured"]) if path.exists() else None

    def get(self, arm: str, measure: str) -> list[float]:
        """One number a seed."""
        return [one[measure] for one in self.by_arm[arm]]

    def minus(self, arm: str, other: str, measure: str) -> list[float]:
        """Differences between two arms, for each seed that both have."""
        return [a - b for a, b in zip(self.get(arm, measure), self.get(other, measure), strict=False)]

    def rise(self, arm: str, measure: str, start: str) -> list[float]:
        """How much higher one measure is than another, seed by seed."""
        return [a - b for a, b in zip(self.get(arm, measure), self.get(arm, start), strict=True)]


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Keep the result of a study."""
    path.parent.mkdir(exist_ok=True)
    with durable(path) as beside:
        beside.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def fit(task: Task, encoding: str, seed: int, length: int, model: Model, training: Training) -> nn.Module:
    """Train one model as ``milepost compare`` does."""
    design = Design(task.name, "", task.sha256, length, model=model, training=training)
    trial = Trial(design, str(canonical(encoding)), seed)
    return train(trial, task, CPU, lambda _: None).model


def _short(measures: Measures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in measures.items())
