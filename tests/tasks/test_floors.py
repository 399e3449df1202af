"""What the best answer that ignores the input scores, by task."""

from __future__ import annotations

import numpy as np
import pytest

from milepost.tasks import Floor, Options, find_task


def open_task(name: str, source: str | None = None):
    kind = find_task(name)
    return kind.open(source or kind.source, Options())


def test_parity_is_guessed_right_half_of_the_time_and_chance_is_allowed_for() -> None:
    floor = open_task("parity").floor_score(12)
    assert floor.score == pytest.approx(0.5, abs=0.03)
    assert floor.error == pytest.approx(0.5 / np.sqrt(256), rel=0.01)


@pytest.mark.parametrize("name", ["addition", "copy", "reverse"])
def test_an_answer_that_depends_on_all_of_the_prompt_is_never_guessed(name: str) -> None:
    assert open_task(name).floor_score(10).score < 0.005


def test_a_needle_is_guessed_as_often_as_there_are_symbols() -> None:
    assert 0.01 < open_task("needle").floor_score(10).score < 0.1


def test_classes_are_guessed_by_their_number_and_no_constant_answer_is_better() -> None:
    from milepost.tasks.scores import count_confusions, macro_f1

    task = open_task("classify")
    floor, truth = task.floor_score(32), task.parts["test"].labels
    assert floor.score == 1 / len(task.labels)
    constant = [
        macro_f1(count_confusions(truth, np.full_like(truth, label), len(task.labels)))
        for label in range(len(task.labels))
    ]
    assert max(constant) < floor.score


def test_the_most_frequent_tag_is_an_answer_for_parts_of_speech_and_none_for_entities() -> None:
    task = open_task("tag")
    marked = any("-" in label for label in task.labels)
    assert task.floor_score(32).score == (0.0 if marked else task.facts()["majority_accuracy"])


def test_series_and_text_have_the_floor_that_their_facts_say() -> None:
    series, text = open_task("forecast"), open_task("causal-lm")
    assert series.floor_score(8).score == pytest.approx(series.facts()["training_mean_mse"])
    assert text.floor_score(8).score == text.facts()["unigram_loss"]
    masked = open_task("masked-lm")
    assert masked.floor_score(8) == Floor(masked.floor())


def test_images_are_guessed_by_the_largest_class() -> None:
    pytest.importorskip("sklearn")
    task = open_task("images")
    assert task.floor_score(16).score == task.facts()["largest_class_accuracy"]
