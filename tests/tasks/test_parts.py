from __future__ import annotations

import pytest

from milepost.errors import DataError
from milepost.tasks.parts import Parts, hash_data, hash_text, make_parts, refuse_few, split_documents

TEXTS = [f"text {number}" for number in range(200)]


def parts_of(documents: list[str], **given: list[str]) -> list[set[str]]:
    made = make_parts(documents, given, hash_text, len, few=refuse_few)
    return [set(made.train), set(made.validation), set(made.test)]


def test_all_documents_are_in_exactly_one_part() -> None:
    train, validation, test = parts_of(TEXTS)
    assert train | validation | test == set(TEXTS)
    assert len(train) + len(validation) + len(test) == len(TEXTS)
    assert 5 <= len(validation) < len(test) < 40


def test_added_documents_hardly_move_others() -> None:
    before, after = parts_of(TEXTS), parts_of([*TEXTS, *(f"new {number}" for number in range(20))])
    assert len(before[2] - after[2]) < len(before[2]) / 3


def test_both_held_out_shares_are_validation_where_a_test_part_is_given() -> None:
    cut = parts_of(TEXTS)
    train, validation, test = parts_of(TEXTS, test=["mine"])
    assert (train, validation, test) == (cut[0], cut[1] | cut[2], {"mine"})
    assert parts_of(TEXTS, validation=["mine"])[1:] == [{"mine"}, cut[2]]
    assert parts_of(TEXTS, validation=["v"], test=["t"]) == [set(TEXTS), {"v"}, {"t"}]


def test_parts_that_share_a_document_are_refused() -> None:
    for given in (
        {"test": TEXTS},
        {"validation": ["v"], "test": ["text 5"]},
        {"validation": ["v"], "test": ["v"]},
    ):
        with pytest.raises(DataError, match="share documents"):
            parts_of(TEXTS, **given)


def test_too_few_different_documents_cannot_be_held_out() -> None:
    assert split_documents(["same"] * 50, hash_text, len) is None
    with pytest.raises(DataError, match="too few documents"):
        parts_of(["same"] * 50)


def test_the_identity_covers_all_that_was_given() -> None:
    found = {
        hash_data("a", {}),
        hash_data("a", {"test": "b"}),
        hash_data("a", {"validation": "b"}),
        hash_data("a", {"test": "b"}, "c"),
        hash_data("a", {}, "c"),
    }
    assert len(found) == 5


def test_a_lone_document_that_is_cut_is_not_tested_on_whole() -> None:
    def cut(documents: list[str]) -> Parts[str]:
        return Parts((documents[0][:8],), (documents[0][8:9],), (documents[0][9:],))

    for given in ({"test": ["a lone text"]}, {"validation": ["a lone text"]}):
        with pytest.raises(DataError, match="share documents"):
            make_parts(["a lone text"], given, hash_text, len, few=cut)
    assert make_parts(["a lone text"], {"test": ["another"]}, hash_text, len, few=cut).test == ("another",)
