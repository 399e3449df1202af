from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from milepost.tasks.scores import (
    Entity,
    count_confusions,
    f1,
    find_entities,
    macro_f1,
    name_confusions,
    read_marks,
)


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
        ("B I O I B I", [(0, 2, ""), (3, 4, ""), (4, 6, "")]),
        ("B-a I O B", [(0, 1, "a"), (1, 2, ""), (3, 4, "")]),  # a bare mark has a type of its own
        ("I NOUN S", [(0, 1, "I"), (1, 2, "NOUN"), (2, 3, "S")]),  # parts of speech
        ("B-a I-a L-a U-a U-a", [(0, 3, "a"), (3, 4, "a"), (4, 5, "a")]),  # BILOU
        ("B-a M-a E-a S-a", [(0, 3, "a"), (3, 4, "a")]),  # BMES
    ],
)
def test_entities_begin_and_end_where_conlleval_says(tags: str, entities: list[object]) -> None:
    assert find_entities(tags.split()) == entities


def conlleval(tags: list[str]) -> list[Entity]:
    """Chunks as the functions startOfChunk and endOfChunk of conlleval.pl find them."""
    found: list[Entity] = []
    begun, before, type_before = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        ends = before in ("E", "S") or (before in ("B", "I") and mark in ("B", "S", "O"))
        if before != "O" and (ends or kind != type_before):
            found.append((begun, place, type_before))
        starts = mark in ("B", "S") or (before in ("E", "S", "O") and mark in ("E", "I"))
        if mark != "O" and (starts or kind != type_before):
            begun = place
        before, type_before = mark, kind
    return found


@pytest.mark.parametrize(
    "tags",
    [
        "O B I",
        "O I",
        "O B I E S",
        "O B-PER I-PER B-LOC I-LOC",
        "O B-PER I-PER E-PER S-PER B-LOC I-LOC E-LOC S-LOC",
        "O B-a I-a B-a-b I-a-b",
        "O B I B-PER I-PER",
    ],
)
def test_random_sentences_have_the_entities_of_conlleval(tags: str) -> None:
    rng = np.random.default_rng(0)
    marks = read_marks(tags.split())
    for _ in range(2_000):
        sentence = rng.choice(tags.split(), size=rng.integers(1, 9)).tolist()
        assert find_entities(sentence, marks) == conlleval(sentence), sentence


def test_a_sentence_is_read_by_the_tags_of_its_data_set() -> None:
    assert find_entities(["I", "I"], read_marks(["I", "NOUN", "O"])) == [(0, 1, "I"), (1, 2, "I")]
    assert find_entities(["I", "I"], read_marks(["B", "I", "O"])) == [(0, 2, "")]


def test_an_example_counted_by_hand() -> None:
    truth = find_entities(["B-per", "I-per", "O", "O", "B-loc", "O", "B-org", "I-org", "I-org"])
    found = find_entities(["B-per", "I-per", "O", "B-loc", "I-loc", "O", "B-org", "I-org", "O"])
    right = len(set(truth) & set(found))
    assert (right, len(truth), len(found)) == (1, 3, 3)  # two begin or end elsewhere
    assert f1(right, len(truth), len(found)) == pytest.approx(1 / 3)
    assert f1(0, 0, 0) == 0.0
