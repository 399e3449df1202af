"""Scores of predicted classes and entities, as their fields define them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int, Int64

Entity = tuple[int, int, str]
"""First word, word after the last, and type."""


def count_confusions(
    truth: Int[np.ndarray, " items"], predicted: Int[np.ndarray, " items"], labels: int
) -> Int64[np.ndarray, "truth predicted"]:
    """How often each class was taken for each.

    >>> count_confusions(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = np.asarray(truth, np.int64) * labels + np.asarray(predicted, np.int64)
    return np.bincount(flat, minlength=labels**2).reshape(labels, labels)


def macro_f1(confusions: Int64[np.ndarray, "truth predicted"]) -> float:
    """Mean F1 of the classes that occur, in truth or in predictions: each counts alike, however rare.

    >>> round(macro_f1(np.array([[8, 0], [2, 0]])), 3)
    0.444
    """
    both = confusions.sum(0) + confusions.sum(1)
    return float(np.mean(2 * confusions.diagonal()[both > 0] / both[both > 0]))


def name_confusions(
    confusions: Int64[np.ndarray, "truth predicted"], labels: Sequence[str]
) -> dict[str, float]:
    """The counts of a confusion matrix by ``truth → predicted``.

    >>> name_confusions(np.array([[8, 1], [2, 0]]), ["ham", "spam"])["ham → spam"]
    1.0
    """
    return {
        f"{one} → {other}": float(confusions[row, column])
        for row, one in enumerate(labels)
        for column, other in enumerate(labels)
    }


Marks = Mapping[str, tuple[str, str]]
"""What each tag means: its mark and the type of its entity."""


def read_marks(tags: Iterable[str]) -> Marks:
    """Read the tags of a data set: ``B-``, ``I-``, ``E-`` and ``S-`` mark parts of entities, ``O`` is outside.

    ``L`` (last) is read as ``E``, ``U`` (unit) as ``S`` and ``M`` (middle) as ``I``: BILOU and BMES. Bare
    letters are marks, of entities without a type, where every tag of the data set is one, typed or bare;
    else a bare ``S`` or ``I`` is a part of speech like others. A tag without a mark is an entity of one word.

    Args:
        tags: of the whole data set, so that a sentence is read like all others.

    >>> read_marks(["B", "I", "O"])["B"], read_marks(["NOUN", "I", "O"])["I"]
    (('B', ''), ('S', 'I'))
    """
    known = {tag for tag in tags if tag != "O"}
    bare = all(tag[:1] in _MARKS and tag[1:2] in ("", "-") for tag in known)
    found = {"O": ("O", "")}
    for tag in known:
        marked = tag[1:2] == "-" or (bare and len(tag) == 1)
        found[tag] = (_MARKS[tag[0]], tag[2:]) if marked and tag[0] in _MARKS else ("S", tag)
    return found


def find_entities(tags: Iterable[str], marks: Marks | None = None) -> list[Entity]:
    """The entities that tags of one sentence mark.

    A tag that cannot follow the one before it begins an entity: the rule of ``conlleval``, the script of the
    shared task (Tjong Kim Sang & De Meulder 2003). Tags that mark no entities are one each.

    Args:
        tags: of one sentence.
        marks: of the tags of its data set, from ``read_marks``; by default of these tags alone.

    >>> find_entities(["B-per", "I-per", "O", "I-loc", "I-org"])
    [(0, 2, 'per'), (3, 4, 'loc'), (4, 5, 'org')]
    >>> find_entities(["B", "I", "O", "I"])
    [(0, 2, ''), (3, 4, '')]
    >>> find_entities(["NOUN", "NOUN"])
    [(0, 1, 'NOUN'), (1, 2, 'NOUN')]
    """
    tags = list(tags)
    marks = read_marks(tags) if marks is None else marks
    found: list[Entity] = []
    begun, last, kind_before = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        mark, kind = marks[tag]
        inside = last in "BI" and mark in "IE" and kind == kind_before
        if last in "BI" and not inside:
            found.append((begun, place, kind_before))
        if mark in "BIE" and not inside:
            begun = place
        if mark == "S":
            found.append((place, place + 1, kind))
        elif mark == "E":
            found.append((begun, place + 1, kind))
        last, kind_before = mark, kind
    return found


_MARKS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}


def f1(right: int, wanted: int, found: int) -> float:
    """F1 from counts; 0 where there is nothing to be found and nothing was.

    >>> f1(1, 2, 2)
    0.5
    """
    return 2 * right / (wanted + found) if wanted + found else 0.0
