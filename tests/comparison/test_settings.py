from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from milepost.api.compare import compare
from milepost.comparison.command import build_command
from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.options import read_until
from milepost.comparison.request import Purpose, Request
from milepost.comparison.settings import (
    Setting,
    SettingGrid,
    choose_setting,
    find_flips,
    find_plausible,
    read_grid,
)
from milepost.comparison.trials.model import build_model, count_trainable
from milepost.comparison.verdicts.scores import Pair
from milepost.errors import FolderError, OptionError, UnknownName
from milepost.reporting.compare_summary import CompareSummary
from milepost.reporting.schemas import read_schema
from milepost.statistics import PairedDifference
from milepost.tasks import CausalLM, Metric, Options

Run = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    asked = tiny | {"encodings": "learned,none", "tune_lr": (1e-3, 1e-1), "tune_scale": (1.0, 3.0)}
    return folder, compare(**asked, out=folder)


def test_every_setting_is_trained_with_every_seed_and_the_scale_only_where_it_acts(tuned: Run) -> None:
    tuning = tuned[1]["tuning"]
    tried = {(t["encoding"], t["lr"], t["scale"]) for t in tuning["trials"]}
    assert tried == {
        *(("learned", lr, scale) for lr in (1e-3, 1e-1) for scale in (1.0, 3.0)),
        *(("none", lr, 1.0) for lr in (1e-3, 1e-1)),
    }
    assert len(tuning["trials"]) == 6 * 3
    jsonschema.validate(tuned[1], read_schema("compare"), jsonschema.Draft202012Validator)


def test_the_setting_with_the_best_validation_value_is_chosen_and_reported(tuned: Run) -> None:
    tuning = tuned[1]["tuning"]
    assert {trial["status"] for trial in tuning["trials"]} == {"done"}
    for name, chosen in tuning["chosen"].items():
        means: dict[tuple[float, float], float] = {}
        for trial in tuning["trials"]:
            if trial["encoding"] == name:
                key = trial["lr"], trial["scale"]
                means[key] = means.get(key, 0.0) + trial["value"]
        assert (chosen["lr"], chosen["scale"]) == min(means, key=means.__getitem__)
    scales = {trial["scale"] for trial in tuning["trials"]}
    assert tuned[1]["spec"]["scales"]["learned"]["std"] == pytest.approx(
        tuned[1]["spec"]["model"]["init_std"] * tuning["chosen"]["learned"]["scale"]
    )
    assert scales == {1.0, 3.0}


def test_tuned_trials_are_not_trained_again_by_a_call_with_that_rate(
    tuned: Run, tiny: dict[str, Any]
) -> None:
    plans: list[Any] = []
    asked = tiny | {"encodings": "none", "tune_lr": (1e-3, 1e-1), "seeds": 2}
    compare(**asked, out=tuned[0], on_plan=plans.append)
    assert plans[0].jobs == ()


def test_the_setting_without_lost_seeds_wins_and_ties_are_broken_by_order() -> None:
    low, high = Setting(1.0), Setting(2.0)
    assert choose_setting({low: {0: 1.0, 1: 1.0}, high: {0: 0.1}}, higher_is_better=False) == low
    assert choose_setting({low: {0: 1.0}, high: {0: 2.0}}, higher_is_better=True) == high
    assert choose_setting({low: {}, high: {}}, higher_is_better=True) == low


SEEDS = range(4)


VALUES = {"better": -1.0, "worse": 1.0, "equivalent": 0.0, "undecided": 0.5, "constant_better": -1.0}


def pair(verdict: str, margin: float = 0.1) -> Pair:
    """``a`` compared with ``b``, where lower is better and the verdict is this one."""
    mean, still = VALUES[verdict], verdict.startswith("constant")
    difference = PairedDifference(
        4, mean, 0.0 if still else 0.1, math.nan, math.nan, math.nan if still else 0.01
    )
    made = Pair(
        "a", "b", difference, 0.01 if verdict == "equivalent" else 0.9, margin,
        p_adjusted=0.9 if verdict == "undecided" else 0.01,
    )  # fmt: skip
    assert made.verdict == verdict
    return made


def spread(mean: float) -> dict[int, float]:
    return {seed: mean + 0.01 * seed for seed in SEEDS}


def noisy(mean: float) -> dict[int, float]:
    return {seed: mean + (1 if seed % 2 else -1) for seed in SEEDS}


@pytest.mark.parametrize(
    ("verdict", "there", "flips"),
    [
        ("better", 5.0, True),
        ("better", 1.0, False),
        ("worse", 1.0, True),
        ("worse", 5.0, False),
        ("equivalent", 5.0, True),
    ],
)
def test_a_verdict_flips_where_another_setting_says_the_opposite(
    verdict: str, there: float, flips: bool
) -> None:
    here, other = Setting(1.0), Setting(2.0)
    values = {
        ("a", here): spread(2.0), ("b", here): noisy(3.0),
        ("a", other): spread(there), ("b", other): dict.fromkeys(SEEDS, 3.0),
    }  # fmt: skip
    chosen = {"a": here, "b": here}
    assert bool(find_flips(pair(verdict), values, chosen)) is flips
    assert find_flips(pair("undecided"), values, chosen) == []
    values["a", other] = noisy(there)  # no longer shown
    values["b", other] = spread(3.0)
    assert find_flips(pair(verdict, margin=10.0), values, chosen) == [] or abs(there - 3.0) > 1.5


def test_a_flip_says_where_and_by_how_much() -> None:
    values = {("a", Setting(1.0)): spread(1.0), ("b", Setting(1.0)): spread(2.0),
              ("a", Setting(2.0)): {0: 3.0, 1: 3.1, 2: 3.0}, ("b", Setting(2.0)): {0: 2.0, 1: 2.0, 2: 2.1}}  # fmt: skip
    chosen = dict.fromkeys("ab", Setting(1.0))
    assert find_flips(pair("better"), values, chosen) == [
        "at lr 2, a is worse than b (difference 0.752 to 1.25)"
    ]


def test_a_difference_that_is_the_same_at_every_seed_flips_too() -> None:
    values = {("a", Setting(1.0)): spread(1.0), ("b", Setting(1.0)): spread(2.0),
              ("a", Setting(2.0)): spread(3.0), ("b", Setting(2.0)): spread(2.0)}  # fmt: skip
    assert find_flips(pair("constant_better"), values, dict.fromkeys("ab", Setting(1.0)))


def test_a_verdict_that_depends_on_the_scale_of_the_baseline_is_not_robust() -> None:
    one, three = Setting(1.0), Setting(1.0, 3.0)
    values = {("a", one): spread(2.0), ("b", one): spread(3.5), ("b", three): dict.fromkeys(SEEDS, 1.0)}
    (flip,) = find_flips(pair("better"), values, {"a": one, "b": one})
    assert flip.startswith("with b at scale × 3, a is worse than b")


def test_a_setting_that_validation_rejects_cannot_question_a_verdict() -> None:
    """2.29 against 2.65: an absurd rate in the grid must not take every winner back."""
    chosen, near, absurd, lost = Setting(1.0), Setting(2.0), Setting(50.0), Setting(9.0)
    values = {
        chosen: {0: 2.29, 1: 2.30, 2: 2.28},
        near: {0: 2.30, 1: 2.28, 2: 2.29},
        absurd: {0: 2.65, 1: 2.66, 2: 2.63},
        lost: {0: 2.29, 1: 2.30},
    }
    assert find_plausible(values, chosen, higher_is_better=False) == {chosen, near}
    assert find_plausible(values, chosen, higher_is_better=True) == {chosen, near, absurd}
    two = {setting: {seed: found[seed] for seed in (0, 1)} for setting, found in values.items()}
    assert find_plausible(two, chosen, higher_is_better=False) >= {chosen, near, lost}
    same = {chosen: dict.fromkeys(SEEDS, 0.5), absurd: dict.fromkeys(SEEDS, 0.25)}
    assert find_plausible(same, chosen, higher_is_better=True) == {chosen}


@pytest.mark.parametrize("asked", ["", "a", "1e-3,-1", "nan", "0"])
def test_rates_that_are_no_numbers_above_zero_are_refused(asked: str) -> None:
    with pytest.raises(OptionError):
        read_grid("tune-lr", asked, 1e-3)


def test_matched_models_have_as_many_parameters_as_the_largest() -> None:
    task = CausalLM.open("builtin:python-docs", Options())
    size = Model(layers=2, dim=16, heads=2)
    design = Design("causal-lm", "builtin:python-docs", task.sha256, 64, model=size)
    plain = {name: build_model(Trial(design, name, 0), task) for name in ("learned", "none")}
    most = max(map(count_trainable, plain.values()))
    matched = dataclasses.replace(design, model=dataclasses.replace(size, parameters=most))
    built = {name: build_model(Trial(matched, name, 0), task) for name in ("learned", "none")}
    unit = size.layers * (2 * size.dim + 1)
    assert count_trainable(plain["learned"]) - count_trainable(plain["none"]) == 64 * 16
    assert all(abs(count_trainable(model) - most) <= unit / 2 for model in built.values())
    shared = dict(plain["none"].named_parameters())
    same = [
        name for name, p in built["none"].named_parameters()
        if p.shape == shared[name].shape and bool((p == shared[name]).all())
    ]  # fmt: skip
    assert len(same) >= len(shared) - 3 * size.layers  # the widened layers alone start otherwise


def test_the_result_has_the_number_of_different_prompts_and_a_note_where_it_is_small(
    tmp_path: Path, tiny: dict[str, Any]
) -> None:
    wanted = tiny | {"task": "parity", "train_length": 6, "lengths": (6, 12), "encodings": "none", "seeds": 1}
    result = compare(**wanted, out=tmp_path / "run", dry_run=True)
    assert result["spec"]["item"] == "prompts" and result["spec"]["items"]["12"] == 256
    assert f"{result['spec']['items']['6']} at length 6" in result["notes"][0]


def test_a_dry_run_estimates_and_writes_nothing(tmp_path: Path, tiny: dict[str, Any]) -> None:
    result = compare(**tiny, out=tmp_path / "run", dry_run=True)
    assert {trial["status"] for trial in result["trials"]} == {"missing"}
    assert result["estimate"]["seconds"] > 0
    assert result["estimate"]["by_encoding"].keys() == {trial["encoding"] for trial in result["trials"]}
    jsonschema.validate(result, read_schema("compare"), jsonschema.Draft202012Validator)
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_added_until_every_verdict_is_decided(tmp_path: Path, tiny: dict[str, Any]) -> None:
    asked = tiny | {"encodings": "learned,none", "lengths": (8,), "until": "decided", "max_seeds": 5}
    result = compare(**asked, out=tmp_path / "run")
    verdicts = {c["verdict"] for c in result["comparisons"]}
    seeds = result["spec"]["seeds"]
    assert 3 <= len(seeds) <= 5
    assert len(seeds) == 5 or "undecided" not in verdicts
    assert result["spec"]["looks"] == [3, 4, 5]
    assert "--until decided --max-seeds 5" in result["spec"]["command"]
    assert compare(**asked, out=tmp_path / "run") == result
    with pytest.raises(FolderError, match="planned otherwise"):
        compare(**asked | {"max_seeds": 9}, out=tmp_path / "run")


def test_a_plan_of_looks_that_cannot_be_is_refused() -> None:
    for until, seeds, most in (("sure", (0,), 20), ("decided", tuple(range(9)), 8)):
        with pytest.raises(OptionError):
            read_until(until, seeds, most)


def test_what_does_not_fit_the_purpose_is_left_out_with_its_reason(
    tiny_run: Run, tiny: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_run[0], tmp_path / "run")  # a call leaves its result in the folder
    result = compare(**tiny | {"max_parameters": 10}, out=folder)
    excluded = {one["encoding"]: one["reason"] for one in result["recommendation"]["excluded"]}
    assert excluded.keys() == {"learned", "learned(past=clamp)"}
    assert "128 parameters, more than 10" in excluded["learned"]
    result = compare(**tiny | {"need_length": 16}, out=folder)
    assert result["spec"]["deciding_length"] == 16
    assert [one["encoding"] for one in result["recommendation"]["excluded"]] == ["learned"]
    with pytest.raises(OptionError):
        Purpose(need_length=0)


def test_another_metric_of_the_task_decides_and_the_result_names_it(
    tiny_run: Run, tiny: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_run[0], tmp_path / "run")
    assert tiny_run[1]["spec"]["metric"] == "loss"
    assert "--metric" not in tiny_run[1]["spec"]["command"]
    assert compare(**tiny, metric="loss", out=folder) == tiny_run[1]
    result = compare(**tiny, metric="perplexity", out=folder)
    assert result["spec"]["metric"] == "perplexity"
    assert "--metric perplexity" in result["spec"]["command"]
    assert result["spec"]["metrics"] == tiny_run[1]["spec"]["metrics"]
    assert [trial["metrics"] for trial in result["trials"]] == [t["metrics"] for t in tiny_run[1]["trials"]]
    assert {c["metric"] for c in result["comparisons"]} == {"perplexity"}
    assert result["spec"]["floors"] == {}  # known for the loss alone
    assert {trial["at_floor"] for trial in result["trials"]} == {None}
    found = CompareSummary.from_result(result)
    assert [metric["name"] for metric in found.metrics] == ["perplexity", "loss"]
    known = result["trials"][0]["metrics"]["8"]["perplexity"]
    assert found.value_of(result["trials"][0], 8) == known
    jsonschema.validate(result, read_schema("compare"), jsonschema.Draft202012Validator)


def test_a_metric_that_the_task_does_not_report_is_refused_before_anything_is_read(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match="metric of causal-lm") as caught:
        compare("no-such-file", **tiny, metric="perplexety", out=tmp_path / "run")
    assert caught.value.fix == "did you mean perplexity? known: loss, perplexity"
    assert not (tmp_path / "run").exists()


def test_the_command_repeats_what_was_asked() -> None:
    design = Design("classify", "a.csv", "00" * 32, 32, Options(text_column="t", header=False))
    request = Request(
        design, ("learned",), (0, 1, 2, 3), (0, 1, 2), (32,), "learned", 0.01, Metric("f1", "F1"),
        Purpose(64, 0), SettingGrid((1e-3, 2e-3)), sequential=read_until("decided", (0, 1, 2), 6),
    )  # fmt: skip
    command = build_command(request)
    for part in (
        "--no-header", "--text-column t", "--tune-lr 0.001,0.002", "--need-length 64", "--max-parameters 0",
        "--until decided --max-seeds 6", "--seeds 3",
    ):  # fmt: skip
        assert part in command
    assert Training().lr == 2e-3


def test_a_model_of_the_users_own_is_compared_and_named_by_what_it_is(
    tmp_path: Path, tiny: dict[str, Any]
) -> None:
    from transformers import OPTConfig

    own = tmp_path / "own"
    OPTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=32, word_embed_proj_dim=16,
        vocab_size=300, max_position_embeddings=40,
    ).save_pretrained(own)  # fmt: skip
    brought = {"layers", "dim", "heads"}
    asked = {name: value for name, value in tiny.items() if name not in brought} | {
        "encodings": "learned,rotary", "seeds": 1, "lengths": (8,), "tokenizer": "byte",
        "match": "parameters", "model": str(own),
    }  # fmt: skip
    result = compare(**asked, out=tmp_path / "run")
    assert {trial["status"] for trial in result["trials"]} == {"done"}
    assert result["spec"]["model"]["dim"] == 16
    assert "folder" not in result["spec"]["model"]
    parameters = [trial["parameters"] for trial in result["trials"]]
    assert abs(parameters[0] - parameters[1]) <= 33 / 2
    moved = own.rename(tmp_path / "moved")
    again = compare(**asked | {"model": str(moved)}, out=tmp_path / "run")
    assert again["trials"] == result["trials"]
