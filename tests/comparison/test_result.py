"""What a result says beyond its numbers: floors, scales, decided sweeps, settings that count."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from milepost.api.compare import compare
from milepost.comparison import Design, Model, Trial
from milepost.comparison.request import Purpose, Request
from milepost.comparison.result import build_result, is_decided
from milepost.comparison.sentences.requirements import advise
from milepost.comparison.settings import Setting, SettingGrid
from milepost.comparison.verdicts.pairs import build_family
from milepost.reporting.schemas import read_schema
from milepost.tasks import CausalLM, Floor, Measured, Options


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> dict[str, Any]:
    """Additions after six steps: nobody gets one right."""
    asked = tiny | {"task": "addition", "encodings": "learned,none", "train_length": 8, "lengths": (8,)}
    return compare(**asked, out=tmp_path_factory.mktemp("runs") / "addition")


def test_a_score_at_the_floor_is_not_converged_whatever_the_loss_says(nothing: dict[str, Any]) -> None:
    assert {trial["metrics"]["8"]["exact_match"] for trial in nothing["trials"]} == {0.0}
    assert all(trial["at_floor"] and trial["converged"] is False for trial in nothing["trials"])
    assert nothing["spec"]["floors"]["8"] == pytest.approx(0, abs=0.005)
    assert {c["verdict"] for c in nothing["comparisons"]} == {"not_converged"}
    assert nothing["recommendation"]["sentence"].startswith("No verdict at length 8: nothing was learned.")
    jsonschema.validate(nothing, read_schema("compare"), jsonschema.Draft202012Validator)


def test_a_scale_far_from_the_rule_is_pointed_out_with_the_option_that_tunes_it() -> None:
    names = ("alibi", "learned", "learned(std=0.001)", "learned(std=0.15)", "sinusoidal(rms=raw)")
    task = CausalLM.open("builtin:python-docs", Options())
    design = Design(
        "causal-lm", "builtin:python-docs", task.sha256, 8, model=Model(layers=1, dim=16, heads=2)
    )
    request = Request(
        design, names, (0,), (0,), (8,), "learned", 0.01, task.metrics[0], Purpose(), SettingGrid((1e-3,))
    )  # fmt: skip
    rows = [{"encoding": name, "seed": 0, "status": "missing"} for name in names]
    scales = {
        "learned": {"std": 0.158}, "learned(std=0.001)": {"std": 0.001}, "learned(std=0.15)": {"std": 0.15},
        "sinusoidal(rms=raw)": {"rms": 0.707}, "alibi": {},
    }  # fmt: skip
    family = build_family(rows, 8, "learned", request.criterion)
    said = advise(request, rows, family, [], task, floor=Floor(3.0), scales=scales)["would_change"]
    found = [line for line in said if line.startswith("The initial scale")]
    assert [line.split()[3] for line in found] == ["learned(std=0.001)", "sinusoidal(rms=raw)"]
    assert all(line.endswith("and --tune-scale tries several scales.") for line in found)
    assert "starts at std 0.001, 0.0063 times the 0.158 of the rule" in found[0]


@pytest.mark.parametrize(
    ("verdict", "decided"),
    [("constant_better", True), ("constant_worse", True), ("equivalent", True), ("undecided", False), ("too_few_seeds", False)],
)  # fmt: skip
def test_a_constant_difference_ends_a_sweep_that_goes_on_until_it_is_decided(
    verdict: str, decided: bool
) -> None:
    result = {"spec": {"deciding_length": 8}, "comparisons": [{"length": 8, "verdict": verdict}]}
    assert is_decided(result) is decided


class Folder:
    """Trials of ``learned`` and ``none`` at two learning rates that nobody trained.

    At the rate 0.001 ``learned`` has the lower loss. At 0.002 it has the loss ``there``, on the test part; ``validated``
    is its loss on the validation part, where 1.0 is what it has at 0.001.
    """

    def __init__(self, *, there: float = 2.9, validated: float = 1.0, converged: bool = True) -> None:
        self.there, self.validated, self.converged = there, validated, converged

    def _moved(self, trial: Trial) -> bool:
        return trial.encoding == "learned" and trial.recipe.lr == 2e-3

    def read_record(self, trial: Trial) -> dict[str, Any]:
        settled = self.converged or not self._moved(trial)
        counts = {"parameters": 1_000, "position_parameters": 0}
        return {"status": "done", "converged": settled, "scales": {}, "picture": None, **counts}

    def read_measured(self, trial: Trial, length: int, part: str = "test") -> Measured:
        noise = 0.01 * (trial.seed * 7 % 5) * (1.0 if trial.encoding == "learned" else -0.7)
        loss = 1.0 if trial.encoding == "learned" else 2.0
        if self._moved(trial):
            loss = self.there if part == "test" else self.validated
        return Measured({"loss": loss + noise})


def judge(folder: Folder) -> tuple[str, str | None]:
    """The verdict of ``none`` against ``learned``, and the encoding that is named, at the rate 0.001."""
    task = CausalLM.open("builtin:python-docs", Options())
    design = Design(
        "causal-lm", "builtin:python-docs", task.sha256, 8, model=Model(layers=1, dim=16, heads=2)
    )
    request = Request(
        design, ("learned", "none"), (0, 1, 2), (0, 1, 2), (8,), "learned", 0.01, task.metrics[0], Purpose(),
        SettingGrid((1e-3, 2e-3)), chosen={name: Setting(1e-3) for name in ("learned", "none")},
    )  # fmt: skip
    rows = build_result(request, folder, {}, task, {})  # type: ignore[arg-type]
    (comparison,) = rows["comparisons"]
    return comparison["verdict"], rows["recommendation"]["encoding"]


def test_a_rate_that_turns_the_order_around_makes_a_verdict_not_robust() -> None:
    assert judge(Folder()) == ("not_robust", None)


@pytest.mark.parametrize(
    "folder",
    [Folder(there=1.0), Folder(converged=False), Folder(validated=1.4), Folder(there=3.5)],
    ids=["no flip", "not converged", "rejected by validation", "at the floor"],
)
def test_settings_that_cannot_question_a_verdict_leave_it(folder: Folder) -> None:
    assert judge(folder) == ("worse", "learned")
