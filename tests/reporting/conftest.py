"""A `compare` document of made-up trials with plausible losses: trained at 32, asked up to 128; verdicts are real."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milepost.comparison.sentences.recommendation import build_recommendation
from milepost.comparison.verdicts.comparisons import build_comparisons, build_degradations
from milepost.comparison.verdicts.pairs import build_family
from milepost.comparison.verdicts.scores import Criterion

sys.path.insert(0, str(Path(__file__).parent))  # what tests ask of pages is a module beside them

LENGTHS = [16, 32, 48, 64, 128]
SIX = ["learned", "sinusoidal", "rotary", "alibi", "t5(buckets=32,max_distance=128)", "none"]
# encoding: loss at the trained length, then how much it rises at 48, 64 and 128
SHAPE = {
    "learned": (1.85, (None, None, None)),
    "sinusoidal": (1.88, (0.12, 0.31, 0.84)),
    "rotary": (1.70, (0.16, 0.45, 1.02)),
    "alibi": (1.81, (-0.01, -0.02, -0.02)),
    "t5": (1.89, (0.02, 0.07, 0.24)),
    "none": (2.10, (0.03, 0.06, 0.12)),
}


def _rise(encoding: str) -> tuple[float, tuple[float | None, ...]]:
    name = "elsewhere" if "past=" in encoding else encoding.split("(")[0]
    return SHAPE.get(name, (1.85, (0.05, 0.1, 0.2)))


def _trial(encoding: str, seed: int, chance: random.Random) -> dict[str, Any]:
    loss, rises = _rise(encoding)
    loss += chance.gauss(0, 0.012)
    at = [loss + 0.11, loss, *(None if rise is None else loss + rise for rise in rises)]
    metrics = {
        str(n): None if value is None else {"loss": round(value, 6), "perplexity": round(math.exp(value), 6)}
        for n, value in zip(LENGTHS, at, strict=True)
    }
    reach = max(n for n, value in zip(LENGTHS, at, strict=True) if value is not None)
    last = at[LENGTHS.index(reach)] or loss
    curve = [
        loss
        + 1.4 * math.exp(-i / 2.5)
        + max(0.0, math.log2((i + 1) / 32)) * (last - loss) * 0.7
        + chance.gauss(0, 0.03)
        for i in range(reach)
    ]
    table = 2048 if encoding.startswith("learned") else 256 if encoding.startswith("t5") else 0
    return {
        "encoding": encoding,
        "seed": seed,
        "status": "done",
        "reason": None,
        "metrics": metrics,
        "loss_by_position": [round(value, 5) for value in curve],
        "training_loss": [[step, round(loss + 2 / step, 6)] for step in range(4, 804, 4)],
        "parameters": 106_304 + table,
        "position_parameters": table,
        "batch_hash": f"{0x9E3779B97F4A7C15 * (seed + 1) % 2**64:016x}",
        "converged": True,
        "measured": {
            "seconds": round(20.3 + chance.gauss(0, 0.4), 2),
            "tokens_per_second": round(40_400 + chance.gauss(0, 900)),
            "peak_memory_bytes": 412_000_000 + chance.randrange(9_000_000),
        },
    }


def _fail(trial: dict[str, Any]) -> None:
    nothing = {
        "metrics": {},
        "loss_by_position": [],
        "training_loss": [],
        "converged": None,
        "measured": {},
        "batch_hash": None,
    }
    trial.update(status="failed", reason="the worker ended with signal 9 (out of memory?)", **nothing)


def _picture(rows: int, chance: random.Random) -> dict[str, Any]:
    cosine = [
        [round(1.0 if i == j else 0.85 * math.exp(-abs(i - j) / 6) - 0.1, 4) for j in range(rows)]
        for i in range(rows)
    ]
    norms = [round(0.52 + 0.3 * math.exp(-i / 3) + chance.gauss(0, 0.01), 5) for i in range(rows)]
    return {"cosine": cosine, "norms": norms, "rows": rows}


def _judge(trials: list[dict[str, Any]], baseline: str, criterion: Criterion) -> tuple[Any, Any, Any]:
    families = {length: build_family(trials, length, baseline, criterion) for length in LENGTHS}
    degradations = build_degradations(trials, LENGTHS, 32, criterion)
    advice = build_recommendation(families[32], trials, degradations=degradations)
    return build_comparisons(families.values()), degradations, advice


def make_result(encodings: list[str] = SIX, seeds: int = 3, *, fail: bool = True) -> dict[str, Any]:
    chance = random.Random(7)
    trials = [_trial(encoding, seed, chance) for seed in range(seeds) for encoding in encodings]
    if fail:
        _fail(next(t for t in reversed(trials) if t["encoding"].startswith("t5") or len(encodings) < 5))
    comparisons, degradations, advice = _judge(trials, encodings[0], Criterion())
    return {
        "schema_version": 1,
        "spec": {
            "task": "causal-lm",
            "data": {
                "source": "builtin:python-docs",
                "sha256": "4f1e1c0d5a" * 6 + "4f1e",
                "characters": 534_211,
                "tokenizer": "characters",
                "vocabulary": 101,
                "train_tokens": 480_789,
                "test_tokens": 53_422,
            },
            "encodings": list(encodings),
            "baseline": encodings[0],
            "train_length": 32,
            "lengths": LENGTHS,
            "deciding_length": 32,
            "steps": 800,
            "batch": 32,
            "seeds": list(range(seeds)),
            "model": {"base": "gpt2", "layers": 2, "dim": 64, "heads": 8, "init_std": 0.1},
            "training": {
                "optimizer": "adamw",
                "lr": 0.002,
                "betas": [0.9, 0.98],
                "weight_decay": 0.01,
                "warmup_steps": 40,
                "schedule": "cosine",
            },
            "scales": {e: {"std": 0.1} if e == "learned" else {} for e in encodings}
            | ({"sinusoidal": {"rms": 0.1}} if "sinusoidal" in encodings else {}),
            "scale_rule": "Whatever is added to the token embeddings starts at their standard deviation.",
            "margin": 0.01,
            "floors": {str(n): 3.1 for n in LENGTHS},
            "evaluate": "blocks",
            "metrics": [
                {"name": "loss", "title": "loss", "unit": "nats per token", "higher_is_better": False},
                {"name": "perplexity", "title": "perplexity", "unit": "", "higher_is_better": False},
            ],
            "axis": "position",
            "unit": "tokens",
            "command": "milepost compare builtin:python-docs --encodings "
            f"'{','.join(encodings)}' --seeds {seeds}",
        },
        "environment": {
            "milepost": "0.1.0",
            "python": "3.13.1",
            "torch": "2.13.0+cpu",
            "transformers": "5.23.0",
            "numpy": "2.4.6",
            "platform": "Linux-6.8-x86_64",
            "processor": "x86_64",
            "threads": 1,
        },
        "trials": trials,
        "comparisons": comparisons,
        "degradations": degradations,
        "recommendation": advice,
        "pictures": {e: _picture(32, chance) for e in encodings if e.startswith("learned")},
    }


def make_classified(encodings: list[str] = SIX, seeds: int = 3) -> dict[str, Any]:
    """The same sweep as if it had classified: a metric of which more is better, breakdowns, settings tried."""
    result = make_result(encodings, seeds)
    spec = result["spec"] | {"task": "classify", "axis": "", "max_parameters": 2000, "need_length": 32}
    spec["floors"] = {str(n): 0.5 for n in LENGTHS}
    spec["metrics"] = [
        {"name": "macro_f1", "title": "macro-F1", "unit": "", "higher_is_better": True, "bounded": True},
        {"name": "loss", "title": "loss", "unit": "nats per document", "higher_is_better": False},
    ]
    for trial in result["trials"]:
        trial["loss_by_position"], trial["breakdown"] = [], {}
        for length, scored in trial["metrics"].items():
            if scored:
                f1 = round(1.0 / (1.0 + scored["loss"] / 4), 6)
                trial["metrics"][length] = {"macro_f1": f1, "loss": scored["loss"]}
                trial["breakdown"][length] = _break_down(f1, int(length))
    judged = Criterion("macro_f1", "macro-F1", higher_is_better=True, bounded=True)
    comparisons, degradations, advice = _judge(result["trials"], encodings[0], judged)
    comparisons[0] |= {"verdict": "not_robust", "flips": [f"at lr 0.004, {encodings[1]} is better"]}
    advice["excluded"] = [{"encoding": encodings[0], "reason": "it adds 2,048 parameters, more than 2,000"}]
    return result | {
        "spec": spec,
        "comparisons": comparisons,
        "degradations": degradations,
        "recommendation": advice,
        "tuning": _tune(encodings, seeds),
    }


def _break_down(f1: float, length: int) -> dict[str, dict[str, float]]:
    return {
        "macro-F1 by length": {f"1–{length} tokens": f1, f"over {length} tokens, cut": f1 - 0.1},
        "documents by length": {f"1–{length} tokens": 30.0, f"over {length} tokens, cut": 12.0},
        "macro-F1 by the third that is shown, 12 documents": {"first": f1, "last": f1 - 0.05},
        "confusion matrix, documents": {
            "ham → ham": 20.0, "ham → spam": 2.0, "spam → ham": 4.0, "spam → spam": round(16 * f1),
        },
    }  # fmt: skip


def _tune(encodings: list[str], seeds: int) -> dict[str, Any]:
    tried = [(name, seed, lr) for seed in range(seeds) for name in encodings for lr in (0.002, 0.004)]
    trials = [
        {"encoding": name, "seed": seed, "lr": lr, "scale": 1.0, "status": "done", "reason": None,
         "value": 0.6 + 10 * lr + seed / 100}
        for name, seed, lr in tried
    ]  # fmt: skip
    trials[-1] |= {"status": "diverged", "reason": "the training loss is not a number", "value": None}
    return {
        "part": "validation", "metric": "macro_f1", "length": 32, "lrs": [0.002, 0.004], "scales": [1.0],
        "chosen": {name: {"lr": 0.004, "scale": 1.0} for name in encodings}, "at_the_edge": list(encodings),
        "trials": trials,
    }  # fmt: skip


@pytest.fixture(scope="session")
def make() -> Callable[..., dict[str, Any]]:
    return make_result


@pytest.fixture
def result() -> dict[str, Any]:
    return make_result()


@pytest.fixture
def classified() -> dict[str, Any]:
    return make_classified()


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Leaves documents as ``compare`` does, each in a run folder of its own."""

    def write(name: str, result: dict[str, Any]) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result), "utf-8")
        return folder

    return write
