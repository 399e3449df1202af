from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from milepost.comparison.design import (
    Design,
    Model,
    Training,
    Trial,
    read_encodings,
    read_lengths,
    read_seeds,
)
from milepost.errors import MilepostError, OptionError, UnknownName
from milepost.tasks import TASKS, Options

DESIGN = Design("causal-lm", "a.txt", "00" * 32, 32)


def test_the_initial_std_fits_the_width() -> None:
    assert Model().init_std == pytest.approx(math.sqrt(2 / 320), abs=1e-6)
    assert Model(dim=768, heads=12).init_std == pytest.approx(0.0228, abs=1e-4)
    assert Model(init_std=0.02).init_std == 0.02


@pytest.mark.parametrize(
    "change",
    [
        {"train_length": 64},
        {"data_sha256": "11" * 32},
        {"options": Options(tokenizer="byte")},
        {"model": Model(layers=3)},
        {"training": Training(lr=1e-3)},
    ],
)
def test_whatever_decides_results_changes_the_key(change: dict[str, Any]) -> None:
    assert dataclasses.replace(DESIGN, **change).key() != DESIGN.key()


def test_trials_that_began_with_other_weights_have_another_key() -> None:
    """Numbers of before each parameter had a random stream of its own are not mixed with those of after it."""
    found = {task: dataclasses.replace(DESIGN, task=task).identity()["model"] for task in TASKS}
    marked = {task for task, model in found.items() if "initial_weights" in model}
    assert marked == {"masked-lm", "classify", "tag", "forecast", "images"}  # the others train a GPT-2
    own = dataclasses.replace(DESIGN, model=Model(folder="own", sha256="22"))
    assert "initial_weights" in own.identity()["model"]
    trained = dataclasses.replace(DESIGN, model=Model(folder="own", sha256="22", weights=True))
    assert "initial_weights" not in trained.identity()["model"]
    assert DESIGN.key() == "8f1f5448d984"  # that of version 0.1.0, so that trials of text are found again


def test_where_the_data_lies_does_not_change_the_key() -> None:
    assert dataclasses.replace(DESIGN, data="elsewhere.txt").key() == DESIGN.key()
    assert dataclasses.replace(DESIGN, options=Options(test="elsewhere.txt")).key() == DESIGN.key()


def test_trials_of_a_design_have_keys_of_their_own() -> None:
    keys = {Trial(DESIGN, encoding, seed).key() for encoding in ("learned", "rotary") for seed in (0, 1)}
    assert len(keys) == 4


def test_a_trial_survives_the_way_to_a_worker() -> None:
    trial = Trial(DESIGN, "rotary(theta=500)", 2)
    arrived = Trial.from_content(json.loads(json.dumps(dataclasses.asdict(trial))))
    assert arrived == trial
    assert arrived.key() == trial.key()


def test_encodings_are_read_into_their_canonical_form() -> None:
    assert read_encodings(" rotary( theta = auto ),learned(past=clamp) ") == (
        "rotary",
        "learned(past=clamp)",
    )
    assert read_encodings(["none", "alibi"]) == ("none", "alibi")


def test_the_same_encoding_in_two_spellings_is_refused() -> None:
    with pytest.raises(OptionError, match="twice"):
        read_encodings("rotary,rotary(theta=auto)")


def test_lengths_and_seeds_are_read() -> None:
    assert read_lengths([64, 16, 64]) == (16, 64)
    assert read_seeds(2) == (0, 1)
    assert read_seeds([5, 1]) == (1, 5)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: read_lengths("16,x"),
        lambda: read_lengths([0]),
        lambda: read_lengths([]),
        lambda: read_seeds(0),
        lambda: read_seeds([]),
        lambda: read_seeds([-1]),
        lambda: Model(dim=65),
        lambda: Model(heads=0),
        lambda: Model(init_std=-0.1),
        lambda: Training(steps=0),
        lambda: Training(lr=float("nan")),
        lambda: dataclasses.replace(DESIGN, train_length=1),
    ],
)
def test_what_is_out_of_range_is_one_clear_error(bad: Any) -> None:
    with pytest.raises(MilepostError) as caught:
        bad()
    assert caught.value.exit_code == 2
    assert str(caught.value).count("\n") == 2


def test_a_misspelt_encoding_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean sinusoidal"):
        read_encodings("learned,sinusodial")
