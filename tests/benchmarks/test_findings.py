"""Published findings: each condition can fail, studies go on where they stopped, the page is what was measured."""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.findings import copying, markov, page, study, text  # noqa: E402
from benchmarks.findings.__main__ import STUDIES  # noqa: E402
from benchmarks.findings.claims import CLAIMS, Claim, Condition  # noqa: E402
from benchmarks.findings.probe import probe  # noqa: E402
from benchmarks.findings.study import Measured, Study  # noqa: E402
from milepost.comparison.design import Training  # noqa: E402
from milepost.models import ModelShape, build_scratch  # noqa: E402

sys.path.remove(str(ROOT))

LEARNED = "learned(rows=160)"
# what papers say, in made-up numbers: loss at 32, loss at 128, shift, probe of the embeddings, of the last layer
TEXT = {
    "alibi": (2.0, 2.0, 0.0, 1.0, 0.8),
    "sinusoidal": (2.1, 3.0, 0.05, 0.0, 0.5),
    "rotary": (1.9, 3.0, 1e-8, 1.0, 0.8),
    LEARNED: (2.2, 3.0, 0.06, 0.1, 0.5),
    "t5": (2.1, 2.3, 0.0, 1.0, 0.8),
    "none": (2.3, 2.5, 0.0, 1.0, 0.6),
    f"shape(inner={LEARNED},max_shift=32)": (2.3, 3.0, 0.001, 0.1, 0.5),
    "shape(inner=sinusoidal,max_shift=32)": (2.2, 3.0, -0.001, 0.0, 0.5),
}
MASKED = ("sinusoidal", "rotary", "learned(std=1)", "learned(std=1), 1,500 steps")
AGREEING = {
    "shape": {
        f"shape(inner={LEARNED},max_shift=16)": {"shift_16": 0.001},
        "shape(inner=sinusoidal,max_shift=16)": {"shift_16": -0.001},
    },
    "text": {
        arm: dict(zip(("loss_32", "loss_128", "shift_16", "probe_0", "probe_2"), numbers, strict=True))
        for arm, numbers in TEXT.items()
    },
    "markov": {
        "causal none": {"loss": 1.01, "best": 1.0, "unigram": 2.3},
        "masked none": {"loss": 2.3},
        **{f"masked {name}": {"loss": 0.8} for name in MASKED},
    },
    "copying": {
        "learned(rows=42)": {"inside": 1.0, "past": 0.1},
        "sinusoidal": {"inside": 1.0, "past": 0.0},
        "t5": {"inside": 1.0, "past": 0.4},
        "none": {"inside": 1.0, "past": 0.9},
    },
    "images": {
        "learned(past=bicubic)": {"accuracy_8": 0.96, "accuracy_16": 0.4},
        "learned(past=linear)": {"accuracy_16": 0.12},
        "learned(past=tile)": {"accuracy_16": 0.1},
        "none": {"accuracy_8": 0.75},
    },
}


def made_up(name: str, *, arm: str = "", measure: str = "", value: float = 0.0) -> Measured:
    """Two seeds that agree with the papers, but for one number of the second seed."""
    second = {a: dict(measures) for a, measures in AGREEING[name].items()}
    if arm:
        second[arm][measure] = value
    return Measured({a: [AGREEING[name][a], second[a]] for a in second})


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.title)
def test_each_finding_comes_out_of_numbers_that_agree(claim: Claim) -> None:
    assert claim.came_out(made_up(claim.study))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.title)
def test_each_condition_can_fail_and_no_number_fails_it(claim: Claim) -> None:
    failed = set()
    for arm, measures in AGREEING[claim.study].items():
        for measure in measures:
            for value in (math.nan, 100.0, -100.0):
                found = made_up(claim.study, arm=arm, measure=measure, value=value)
                conditions = claim.conditions(found)
                lost = {index for index, one in enumerate(conditions) if not one.holds}
                assert claim.came_out(found) == (not lost)
                assert lost >= {i for i, one in enumerate(conditions) if any(map(math.isnan, one.values))}
                failed |= lost
    assert failed == set(range(len(claim.conditions(made_up(claim.study)))))


def test_a_finding_needs_every_seed_and_at_least_one() -> None:
    assert Condition("", [1.0, 2.0], least=0).holds
    assert not Condition("", [1.0, -2.0], least=0).holds
    assert not Condition("", [0.0], least=0).holds  # no difference is no order
    assert not Condition("", [], least=0).holds
    assert not Condition("", [0.5], most=0.4).holds


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    asked = []

    def measure(arm: int, seed: int) -> dict[str, float]:
        asked.append((arm, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return {"sum": float(arm + seed)}

    made = Study("made-up", "Two arms.", {"one": 1, "ten": 10}, measure)
    with pytest.raises(KeyboardInterrupt):
        made.run(2)
    made.run(2)
    assert asked == [(1, 0), (10, 0), (1, 1), (1, 1), (10, 1)]
    found = Measured.read("made-up")
    assert found is not None and found.get("ten", "sum") == [10.0, 11.0]
    assert found.minus("ten", "one", "sum") == [9.0, 9.0]
    Study("made-up", "Two other arms.", {"one": 1, "ten": 10}, measure).run(1)
    assert len(asked) == 7  # other models: nothing of the first is kept
    assert Measured.read("nothing") is None


def test_a_small_copying_run_measures_what_its_finding_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "Training", lambda steps: Training(steps=2, batch=4))
    monkeypatch.setattr(copying, "PAST", (11, 20))
    measured = {arm: [copying.measure(arm, 0)] for arm in ("none", "learned(rows=42)")}
    for one in ("t5", "sinusoidal"):
        measured[one] = measured["none"]
    claim = next(claim for claim in CLAIMS if claim.study == "copying")
    assert not claim.came_out(Measured(measured))  # nothing is learnt in two steps
    assert measured["none"][0]["exact_20"] == 0.0


def test_hidden_letters_are_scored_beside_the_best_loss_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markov, "Training", lambda steps: Training(steps=2, batch=4))
    measured = markov.measure(("masked", "none", 2), 0)
    assert 0 < measured["best"] < measured["unigram"] < measured["loss"]


class States(nn.Module):
    """Answers with hidden states of which one layer holds the position and the other noise."""

    def forward(self, input_ids: torch.Tensor, **options: bool) -> object:
        batch, seq = input_ids.shape
        noise = torch.randn(batch, seq, seq, generator=torch.Generator().manual_seed(0))
        told = torch.eye(seq).expand(batch, seq, seq) + 0.1 * noise
        return type("Output", (), {"hidden_states": (noise, told)})()


def test_the_probe_reads_positions_where_they_are_and_nowhere_else() -> None:
    blind, told = probe(States(), torch.zeros(120, 16, dtype=torch.int64), seed=0)
    assert told < 0.02
    assert blind > 0.9


def test_a_shift_is_felt_by_a_table_and_not_by_rotary_positions() -> None:
    windows = torch.randint(0, 20, (8, 17), generator=torch.Generator().manual_seed(0))
    shape = ModelShape(layers=1, dim=16, heads=2, init_std=0.5, max_len=32, vocabulary_size=20)
    rises = {}
    for encoding in ("learned", "rotary"):
        model = build_scratch("causal-lm", shape, encoding=encoding, seed=0).eval()
        rises[encoding] = abs(text.shift_loss(model, windows, 16))
    assert rises["rotary"] < 1e-6 < 1e-3 < rises["learned"]


@pytest.mark.parametrize("name", STUDIES)
def test_each_study_is_there_under_its_name(name: str) -> None:
    made = importlib.import_module(f"benchmarks.findings.{name}").STUDY
    assert made.name == name
    asked = {claim.study for claim in CLAIMS}
    assert name in asked
    found = Measured.read(name)
    assert found is None or set(found.by_arm) == set(made.arms)


def test_the_page_is_what_was_measured() -> None:
    assert page.PAGE.read_text("utf-8") == page.render()


def test_a_finding_that_did_not_come_out_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = {
        "copying": made_up("copying", arm="none", measure="past", value=0.2),
        "shape": Measured({arm: [{"shift_16": 0.3}] for arm in AGREEING["shape"]}),
        "images": Measured({arm: [] for arm in AGREEING["images"]}),
    }
    monkeypatch.setattr(Measured, "read", classmethod(lambda cls, name: spoilt.get(name)))
    monkeypatch.setattr(page, "_study", lambda name: name)
    monkeypatch.setattr(page, "CLAIMS", [dataclasses.replace(claim, withdrawn="") for claim in CLAIMS])
    shown = page.render()
    assert "| Kazemnejad et al. 2023 | **in part**: 4 of 6 |" in shown
    assert "| Kiyono et al. 2021 (SHAPE) | **did not come out** |" in shown
    assert "| Dosovitskiy et al. 2021, section 3.2 | not run |" in shown
    assert "| Haviv et al. 2022 | not run |" in shown
    assert "| 0.8, 0.1 | above 0.5 | ✗ |" in shown


def test_a_withdrawn_finding_has_no_verdict_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = dataclasses.replace(CLAIMS[0], withdrawn="The probe read the wrong layer.")
    monkeypatch.setattr(page, "CLAIMS", [claim])
    shown = page.render()
    assert f"| {claim.paper} | *withdrawn* |" in shown and "came out |" not in shown
    assert "*withdrawn*: The probe read the wrong layer." in shown
