"""How often the findings on tables are right: precision and recall on tables whose coverage is known.

    python benchmarks/findings_precision.py --seeds 10 --json findings.json

Each seed trains tiny causal language models (torch, CPU, some seconds each) on a language whose words drift with
the position, and derives tables from them: cut short, tiled, stretched, damaged. A finding is right when it fires (issue or tip)
on a table that has the fault. Which rows were trained, rarely or never, is counted while training. A table can tell of it where training
moved the rows that it reached most by at least half the norm that they started with; this is measured before any finding is
asked. Of the other tables the only right answers are silence and *cannot tell*.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import nn

from milepost.diagnostics.inspect.findings import CHECKS, Facts, check_table
from milepost.diagnostics.inspect.measures import measure
from milepost.statistics.chance import shipped_chance

VOCABULARY, DISTANCE, PERIOD = 32, 5, 128
COVERAGE = ("MP201", "MP202", "MP203")


@dataclass(frozen=True)
class Trained:
    """A table after training, before it, and the inputs that reached each of its rows."""

    rows: np.ndarray
    before: np.ndarray
    counts: np.ndarray

    @property
    def faults(self) -> frozenset[str]:
        """What the counts say: rows never trained, rarely trained (less than a tenth of the most), the last one left out."""
        never = {1: {"MP203"}, 0: set()}.get(int((self.counts == 0).sum()), {"MP201"})
        rare = (self.counts > 0) & (self.counts < 0.1 * self.counts.max())
        return frozenset(never | ({"MP202"} if rare.any() else set()))

    @property
    def can_tell(self) -> bool:
        """Whether training moved the rows it reached most, by their median, at least half the norm they started with."""
        most = self.counts >= 0.5 * self.counts.max()
        moved = np.linalg.norm(self.rows[most] - self.before[most], axis=1)
        return bool(np.median(moved / np.linalg.norm(self.before[most], axis=1)) >= 0.5)


@dataclass
class Case:
    """A table and the findings that should fire on it."""

    name: str
    rows: np.ndarray
    faults: frozenset[str] = frozenset()
    dtype: str = "F32"
    unknown: frozenset[str] = frozenset()
    options: dict[str, object] = field(default_factory=dict)


class TinyModel(nn.Module):
    """One block of causal attention over token plus position embeddings."""

    def __init__(self, rows: int, dim: int, initial_sd: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, dim)
        self.positions = nn.Parameter(initial_sd * torch.randn(rows, dim))
        self.block = nn.TransformerEncoderLayer(
            dim, 4, 4 * dim, dropout=0.0, batch_first=True, norm_first=True
        )
        self.head = nn.Linear(dim, VOCABULARY)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: torch.Tensor, start: int) -> torch.Tensor:
        """Next-token scores of tokens ``(batch, seq)`` whose first position is ``start``."""
        seq = tokens.shape[1]
        hidden = self.tokens(tokens) + self.positions[start : start + seq]
        mask = nn.Transformer.generate_square_subsequent_mask(seq)
        return self.head(self.block(hidden, src_mask=mask, is_causal=True))


def draw_text(rng: np.random.Generator, batch: int, start: int, length: int) -> np.ndarray:
    """Tokens whose frequencies drift with the position, as from the head of a document to its end, with links between them.

    A token repeats the one ``DISTANCE`` before with probability 0.3.
    """
    waves = np.arange(1, 5) * np.pi / PERIOD
    phase = np.outer(np.arange(start, start + length), waves)
    # one language for all seeds: (positions, waves) @ (waves, vocabulary)
    likes = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) @ np.random.default_rng(0).normal(
        size=(8, VOCABULARY)
    )
    text = (likes + rng.gumbel(size=(batch, length, VOCABULARY))).argmax(axis=2)
    for at in range(DISTANCE, length):
        again = rng.random(batch) < 0.3
        text[again, at] = text[again, at - DISTANCE]
    return text


def train(
    rows: int, lengths: np.ndarray, *, seed: int, dim: int, decay: float, initial_sd: float, offsets: int = 0
) -> Trained:
    """Train a tiny model on one batch a length, shifted by up to ``offsets``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = TinyModel(rows, dim, initial_sd)
    before = model.positions.detach().numpy().copy()
    counts = np.zeros(rows, int)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=decay)
    for length in lengths:
        start = int(
            np.clip(rng.integers(-64, offsets + 65), 0, offsets)
        )  # so that the ends are trained like the rest
        counts[start : start + int(length)] += 1
        text = torch.from_numpy(draw_text(rng, 8, start, int(length) + 1))
        scores = model(text[:, :-1], start)
        loss = nn.functional.cross_entropy(scores.reshape(-1, VOCABULARY), text[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Trained(model.positions.detach().numpy(), before, counts)


def stretch(rows: np.ndarray, ratio: float, kind: str) -> np.ndarray:
    """Interpolate a table to ``ratio`` times its rows, ends kept."""
    at = np.linspace(0, len(rows) - 1, round(ratio * len(rows)))
    if kind == "cubic":
        return CubicSpline(np.arange(len(rows)), rows)(at).astype(np.float32)
    left = np.minimum(at.astype(int), len(rows) - 2)
    share = (at - left)[:, None].astype(np.float32)
    return rows[left] * (1 - share) + rows[left + 1] * share


def trained_case(name: str, trained: Trained, **options: object) -> Case:
    """A table straight from training, its truth taken from the counts."""
    unknown = {"MP210"}  # whether position 0 is an outlier is not known beforehand
    if not trained.can_tell:
        # nor whether training gave random rows some order
        unknown |= {*COVERAGE, "MP211"}
    elif 0 < trained.counts[-1] <= 2:
        unknown.add("MP203")  # whether a gradient or two is training is a matter of taste
    return Case(name, trained.rows, trained.faults, unknown=frozenset(unknown), options=options)


def trained_cases(seed: int, steps: int, dim: int) -> Iterator[Case]:
    """Tables straight from training."""
    rng = np.random.default_rng([seed, 1])
    short = np.full(steps, 128)
    common = {"seed": seed, "dim": dim}
    for decay in (0.0, 0.1):
        easy = {**common, "decay": decay, "initial_sd": 0.02}
        known = {"initial_sd": 0.02} if seed % 2 else {}
        name = f"decay {decay:g}"
        yield trained_case(f"whole, {name}", train(128, short, **easy), **known)
        yield trained_case(f"whole by offsets, {name}", train(512, short, offsets=384, **easy), **known)
        yield trained_case(f"cut, {name}", train(512, short, **easy), **known)
        yield trained_case(f"last row left out, {name}", train(129, short, **easy), **known)
        lengths = np.minimum(16 + rng.exponential(25, steps).astype(int), 192)
        yield trained_case(f"thin tail, {name}", train(int(lengths.max()), lengths, **easy), **known)
    hard = {**common, "decay": 0.01, "initial_sd": 1.0}
    yield trained_case("large start: whole", train(128, short, **hard))
    yield trained_case("large start: cut", train(512, short, **hard))


def derived_cases(seed: int, whole: np.ndarray) -> Iterator[Case]:
    """Tables made from a trained one."""
    rng = np.random.default_rng([seed, 2])
    n, dim = whole.shape
    norms = np.linalg.norm(whole, axis=1, keepdims=True)
    whole[0] *= np.median(norms) / norms[0]  # position 0 of a causal model may be an outlier of its own
    yield Case("tiled", np.tile(whole, (4, 1)), frozenset({"MP208"}))
    yield Case("tiled, part of a tile", np.tile(whole, (3, 1))[: int(2.6 * n)], frozenset({"MP208"}))
    for ratio in (1.25, 1.5, 2, 3, 4, 8):
        for kind in ("linear", "cubic"):
            yield Case(f"{kind} {ratio:g}", stretch(whole, ratio, kind), frozenset({"MP209"}))
        half = stretch(whole, ratio, "linear").astype(np.float16).astype(np.float32)
        yield Case(f"linear {ratio:g}, float16", half, frozenset({"MP209"}), dtype="F16")
    yield Case("grouped", np.repeat(whole, 4, axis=0), frozenset({"MP206", "MP209"}))
    picks = rng.permutation(np.arange(1, n - 1))
    for name, code in (
        ("zero row", "MP205"),
        ("equal rows", "MP206"),
        ("not finite", "MP207"),
        ("first row", "MP210"),
    ):
        rows = whole.copy()
        if code == "MP205":
            rows[picks[0]] = 0
        elif code == "MP206":
            rows[picks[0]] = rows[picks[1]]
        elif code == "MP207":
            rows[picks[0], 0] = np.nan
        else:
            rows[0] *= 4
        yield Case(name, rows, frozenset({code}))
    filled = np.concatenate([rng.normal(0, 0.02, (2, dim)).astype(np.float32), whole])
    yield Case("reserved, filled", filled, frozenset({"MP204"}), options={"first_row": 2})
    empty = np.concatenate([np.zeros((2, dim), np.float32), whole])
    yield Case("reserved, empty", empty, options={"first_row": 2})
    unknown = frozenset(COVERAGE)
    yield Case("random", rng.normal(size=(n, dim)).astype(np.float32), frozenset({"MP211"}), unknown=unknown)


def norm_courses(rows: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Factors by which the norms of a sound table may vary along its rows: waves, jitter, a fall, and a course like GPT-2's."""
    cycles = np.arange(rows) / rows
    waves = sum(np.cos(2 * np.pi * (k * cycles + rng.random())) * rng.normal() / k for k in range(1, 5))
    for size in (0.1, 0.2, 0.3):
        yield f"waves {size:g}", 1 + size * waves / np.abs(waves).max()
        yield f"jitter {size:g}", 1 + size * rng.uniform(-1, 1, rows)
    for end in (0.8, 0.7, 0.6, 0.5):
        yield f"falls to {end:g}", np.linspace(1, end, rows)
    yield "as in GPT-2", (1 + 0.55 / np.sqrt(1 + np.arange(rows) / 2)) * np.linspace(1, 0.7, rows)


def uneven_cases(seed: int, name: str, whole: np.ndarray) -> Iterator[Case]:
    """A table that was trained throughout, with norms that vary: no fault."""
    rng = np.random.default_rng([seed, 3])
    for course, factors in norm_courses(len(whole), rng):
        rows = (whole * factors[:, None]).astype(np.float32)
        yield Case(f"{name}, {course}", rows, unknown=frozenset({"MP210"}))


def tuned_case(seed: int, whole: np.ndarray) -> Case:
    """A table whose first half moved in one direction, as fine-tuning on short inputs moves it: norms 20 % smaller.

    It is smoothed before: a step cannot be seen where neighbours are as little alike as in these short trainings.
    """
    rng = np.random.default_rng([seed, 4])
    padded = np.pad(whole, ((4, 4), (0, 0)), mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(padded, 9, axis=0).mean(axis=2)
    noise = (
        0.1 * np.linalg.norm(smooth, axis=1).mean() / np.sqrt(whole.shape[1]) * rng.normal(size=whole.shape)
    )
    whole = (smooth + noise).astype(np.float32)
    half, usual = len(whole) // 2, np.linalg.norm(whole, axis=1).mean()
    direction = rng.normal(size=whole.shape[1])
    moved = whole[:half] + 1.5 * usual * direction / np.linalg.norm(direction)
    rows = whole.copy()
    rows[:half] = 0.8 * usual * moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return Case("tuned to half", rows, frozenset({"MP212"}), unknown=frozenset({"MP202", "MP210"}))


def check(case: Case) -> dict[str, str]:
    """Status of every finding on a case, chance levels as they ship."""
    facts = Facts(case.rows, dtype=case.dtype, **case.options)  # type: ignore[arg-type]
    values = {name: found.value for name, found in measure(facts.positions).items()}
    levels = shipped_chance(min(len(facts.positions), 512), facts.dim)
    facts = Facts(case.rows, dtype=case.dtype, values=values, chance=levels, **case.options)  # type: ignore[arg-type]
    return {finding.code: finding.status for finding in check_table(facts)}


def score(cases: list[tuple[Case, dict[str, str]]]) -> dict[str, dict[str, object]]:
    """Precision, recall and abstentions by finding, over the cases where the truth is known."""
    scores: dict[str, dict[str, object]] = {}
    for code in CHECKS:
        count: Counter[str] = Counter()
        missed: dict[str, int] = defaultdict(int)
        wrong: dict[str, int] = defaultdict(int)
        for case, statuses in cases:
            if code in case.unknown:
                continue
            fired, true = statuses[code] in ("issue", "tip"), code in case.faults
            count["tp"] += fired and true
            count["fp"] += fired and not true
            count["fn"] += not fired and true
            count["tn"] += not fired and not true
            count["cannot_tell"] += true and statuses[code] == "cannot_tell"
            missed[case.name] += true and not fired
            wrong[case.name] += fired and not true
        fired, true, sound = count["tp"] + count["fp"], count["tp"] + count["fn"], count["fp"] + count["tn"]
        scores[code] = {
            **count,
            "precision": count["tp"] / fired if fired else None,
            "recall": count["tp"] / true if true else None,
            "false_alarms": count["fp"] / sound if sound else None,
            "missed": {name: number for name, number in missed.items() if number},
            "wrong": {name: number for name, number in wrong.items() if number},
        }
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each kind (default 5)")
    parser.add_argument("--steps", type=int, default=300, help="steps a training (default 300)")
    parser.add_argument("--dim", type=int, default=64, help="width of the models (default 64)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the scores here too")
    parser.add_argument("--tables", type=Path, help="write the trained tables here (.npz)")
    options = parser.parse_args()
    cases, tables = [], {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for case in trained_cases(seed, options.steps, options.dim):
            cases.append((case, check(case)))
            tables[f"{seed} {case.name}"] = case.rows
            if case.name.startswith("whole"):
                cases.extend((uneven, check(uneven)) for uneven in uneven_cases(seed, case.name, case.rows))
            if case.name.startswith("whole by offsets"):
                tuned = tuned_case(seed, case.rows)
                cases.append((tuned, check(tuned)))
            if case.name.startswith("whole, decay 0.1"):
                cases.extend((derived, check(derived)) for derived in derived_cases(seed, case.rows.copy()))
    scores = score(cases)
    print(f"{len(cases)} tables from {options.seeds} seeds, width {options.dim}")
    print("code   precision  recall  false alarms  faults  could not tell")
    for code, found in sorted(scores.items()):
        numbers = [found[name] for name in ("precision", "recall", "false_alarms")]
        shown = ["-" if number is None else f"{number:.3f}" for number in numbers]
        faults = found["tp"] + found["fn"]  # type: ignore[operator]
        print(
            f"{code}  {shown[0]:>9}  {shown[1]:>6}  {shown[2]:>12}  {faults:>6}  {found['cannot_tell']:>14}"
        )
        for label in ("missed", "wrong"):
            if found[label]:
                print(f"         {label}: {found[label]}")
    for code in COVERAGE:
        said = Counter(statuses[code] for case, statuses in cases if code in case.unknown)
        print(f"{code} where the truth is unknown or the table cannot tell: {dict(said)}")
    if options.json:
        options.json.write_text(json.dumps(scores, indent=1) + "\n")
    if options.tables:
        np.savez(options.tables, **tables)


if __name__ == "__main__":
    main()
