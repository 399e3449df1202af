from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from milepost.api.compare import compare
from milepost.comparison import Plan, Progress
from milepost.errors import DataError, FolderError, MilepostError, OptionError, UnknownName
from milepost.reporting.schemas import read_schema

Run = tuple[Path, dict[str, Any]]


def lasting(result: dict[str, Any]) -> dict[str, Any]:
    """What is promised to be the same in every run."""
    content = json.loads(json.dumps(result))
    del content["environment"]
    for trial in content["trials"]:
        del trial["measured"]
    return content  # type: ignore[no-any-return]


def test_the_result_keeps_to_its_schema(tiny_run: Run) -> None:
    jsonschema.validate(tiny_run[1], read_schema("compare"), jsonschema.Draft202012Validator)
    assert json.loads((tiny_run[0] / "result.json").read_text()) == tiny_run[1]


def test_every_trial_is_listed_and_same_seeds_saw_the_same_batches(tiny_run: Run) -> None:
    trials = tiny_run[1]["trials"]
    assert {(t["encoding"], t["seed"]) for t in trials} == {
        (name, seed) for name in ("learned", "alibi", "learned(past=clamp)") for seed in range(3)
    }
    assert {t["status"] for t in trials} == {"done"}
    hashes = {seed: {t["batch_hash"] for t in trials if t["seed"] == seed} for seed in range(3)}
    assert all(len(found) == 1 for found in hashes.values())
    assert len(set.union(*hashes.values())) == 3


def test_a_learned_table_has_no_answer_past_its_last_row(tiny_run: Run) -> None:
    trials = {(t["encoding"], t["seed"]): t for t in tiny_run[1]["trials"]}
    learned, clamped = trials["learned", 0], trials["learned(past=clamp)", 0]
    assert learned["metrics"]["16"] is None
    assert len(learned["loss_by_position"]) == 8
    assert clamped["metrics"]["16"]["loss"] > 0
    assert len(clamped["loss_by_position"]) == 16
    assert learned["metrics"]["8"] == clamped["metrics"]["8"]  # the rule acts past the end alone
    verdicts = {c["encoding"]: c["verdict"] for c in tiny_run[1]["comparisons"] if c["length"] == 16}
    assert verdicts["learned"] == "undefined"


def test_the_table_is_a_picture_and_what_it_costs_is_counted(tiny_run: Run) -> None:
    picture = tiny_run[1]["pictures"]["learned"]
    assert len(picture["norms"]) == len(picture["cosine"]) == 8
    assert picture["cosine"][3][3] == pytest.approx(1, abs=1e-3)
    learned, alibi = (
        next(t for t in tiny_run[1]["trials"] if t["encoding"] == n) for n in ("learned", "alibi")
    )
    assert learned["position_parameters"] == 8 * 16
    assert alibi["position_parameters"] == 0
    assert learned["parameters"] - alibi["parameters"] == 8 * 16


def test_a_second_call_trains_nothing_and_says_the_same(tiny_run: Run, tiny: dict[str, Any]) -> None:
    plans: list[Plan] = []
    again = compare(**tiny, out=tiny_run[0], on_plan=plans.append)
    assert plans[0].jobs == ()
    assert again == tiny_run[1]


def test_a_fresh_run_gives_the_same_result_whatever_the_number_of_workers(
    tiny_run: Run, tiny: dict[str, Any], tmp_path: Path
) -> None:
    fresh = compare(**tiny | {"workers": 1}, out=tmp_path / "run")
    assert lasting(fresh) == lasting(tiny_run[1])


def test_more_seeds_encodings_and_lengths_reuse_what_is_there(tmp_path: Path, tiny: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    small = compare(**tiny | {"encodings": "none", "seeds": 1, "lengths": (4,)}, out=folder)
    plans: list[Plan] = []
    wanted = tiny | {"encodings": "none,alibi", "seeds": 2, "lengths": (4, 12)}
    grown = compare(**wanted, out=folder, on_plan=plans.append)
    lengths = {(job.trial.encoding, job.trial.seed): job.lengths for job in plans[0].jobs}
    assert lengths == {
        ("none", 0): (12,),
        ("none", 1): (4, 8, 12),
        ("alibi", 0): (4, 8, 12),
        ("alibi", 1): (4, 8, 12),
    }
    old = small["trials"][0]
    new = next(t for t in grown["trials"] if (t["encoding"], t["seed"]) == ("none", 0))
    assert new["measured"] == old["measured"]  # not trained again
    assert new["metrics"].items() >= old["metrics"].items()


def test_a_trial_that_diverges_is_listed_with_its_reason(tmp_path: Path, tiny: dict[str, Any]) -> None:
    wild = tiny | {"encodings": "none", "seeds": 1, "steps": 30, "lr": 1e30, "clip": 0}
    news: list[Progress] = []
    trial = compare(**wild, out=tmp_path / "run", on_progress=news.append)["trials"][0]
    assert trial["status"] == "diverged"
    assert "not a number" in trial["reason"]
    assert [one.failure for one in news if one.finished] == [f"diverged: {trial['reason']}"]


def test_the_default_folder_is_named_by_the_design(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plans: list[Plan] = []

    class Enough(Exception):
        pass

    def stop(plan: Plan) -> None:
        plans.append(plan)
        raise Enough

    for steps in (6, 7):
        with pytest.raises(Enough):
            compare(**tiny | {"steps": steps}, on_plan=stop)
    assert plans[0].folder != plans[1].folder
    assert plans[0].folder.parent == Path("milepost-runs")
    assert list(tmp_path.iterdir()) == []


BAD: dict[str, tuple[dict[str, Any], type[MilepostError], int]] = {
    "unknown encoding": ({"encodings": "learnt"}, UnknownName, 2),
    "unknown task": ({"task": "causal"}, UnknownName, 2),
    "unknown tokenizer": ({"tokenizer": "word"}, UnknownName, 2),
    "no seeds": ({"seeds": 0}, OptionError, 2),
    "no workers": ({"workers": 0}, OptionError, 2),
    "a margin above one": ({"margin": 5.0}, OptionError, 2),
    "a baseline that is not listed": ({"baseline": "rotary"}, OptionError, 2),
    "heads of odd width for rotary": (
        {"encodings": "rotary", "dim": 6, "heads": 2},
        MilepostError,
        2,
    ),
    "missing data": ({"data": "nowhere.txt"}, DataError, 3),
    "text too short": ({"lengths": (100_000,)}, DataError, 3),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error_and_nothing_is_written(
    name: str, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    change, kind, code = BAD[name]
    with pytest.raises(kind) as caught:
        compare(**tiny | change, out=tmp_path / "run")
    assert caught.value.exit_code == code
    assert str(caught.value).count("\n") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_design_is_refused_and_stays_as_it_was(
    tiny_run: Run, tiny: dict[str, Any]
) -> None:
    before = {path: path.read_bytes() for path in tiny_run[0].rglob("*") if path.is_file()}
    with pytest.raises(FolderError, match="train_length: 8 there, 16 here"):
        compare(**tiny | {"train_length": 16}, out=tiny_run[0])
    assert {path: path.read_bytes() for path in tiny_run[0].rglob("*") if path.is_file()} == before
