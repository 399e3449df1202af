from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from milepost.tasks.scores import count_confusions, f1, find_entities, macro_f1, name_confusions


@pytest.mark.parametrize("seed", range(8))
def test_macro_f1_and_confusions_equal_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 5, size=(2, 12 + seed))
    counts = count_confusions(truth, predicted, 5)
    assert np.array_equal(counts, confusion_matrix(truth, predicted, labels=range(5)))
    assert macro_f1(counts) == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))


def test_a_class_that_never_occurs_does_not_count() -> None:
    truth = predicted = np.array([0, 1])
    assert macro_f1(count_confusions(truth, predicted, 3)) == 1.0


def test_a_rare_class_that_is_never_found_costs_half() -> None:
    truth, predicted = np.array([0] * 99 + [1]), np.zeros(100, int)
    assert macro_f1(count_confusions(truth, predicted, 2)) < 0.5


def test_confusions_are_named_truth_first() -> None:
    named = name_confusions(np.array([[1, 2], [3, 4]]), ["a", "b"])
    assert named == {"a → a": 1.0, "a → b": 2.0, "b → a": 3.0, "b → b": 4.0}


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("B-a I-a O B-a", [(0, 2, "a"), (3, 4, "a")]),
        ("B-a B-a I-a", [(0, 1, "a"), (1, 3, "a")]),
        ("I-a I-a O I-a", [(0, 2, "a"), (3, 4, "a")]),  # IOB1, and what no scheme allows
        ("B-a I-b I-b", [(0, 1, "a"), (1, 3, "b")]),
        ("O O", []),
        ("", []),
        ("B-a I-a E-a S-b O", [(0, 3, "a"), (3, 4, "b")]),
        ("E-a E-a B-a E-a I-a", [(0, 1, "a"), (1, 2, "a"), (2, 4, "a"), (4, 5, "a")]),
        ("B-a-b I-a-b", [(0, 2, "a-b")]),
        ("NOUN VERB O", [(0, 1, "NOUN"), (1, 2, "VERB")]),
    ],
)
def test_entities_begin_and_end_where_conlleval_says(tags: str, entities: list[object]) -> None:
    assert find_entities(tags.split()) == entities


def test_an_example_counted_by_hand() -> None:
    truth = find_entities(["B-per", "I-per", "O", "O", "B-loc", "O", "B-org", "I-org", "I-org"])
    found = find_entities(["B-per", "I-per", "O", "B-loc", "I-loc", "O", "B-org", "I-org", "O"])
    right = len(set(truth) & set(found))
    assert (right, len(truth), len(found)) == (1, 3, 3)  # two begin or end elsewhere
    assert f1(right, len(truth), len(found)) == pytest.approx(1 / 3)
    assert f1(0, 0, 0) == 0.0
