from __future__ import annotations

from pathlib import Path

import pytest

from milepost.errors import DataError, OptionError, UnknownName
from milepost.tasks.conll import TAGGED, read_tagged

WORDS = "EU\tNNP\tB-org\nrejects\tVBZ\tO\n\nPeter\tNNP\tB-per\n"


def conllu(*words: str) -> str:
    return "".join(
        f"{number}\t{word}\t_\t{tag}\t" + "\t".join("_" * 6) + "\n"
        for number, word, tag in (one.split() for one in words)
    )


def test_words_are_the_first_column_and_tags_the_last(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(WORDS)
    found = read_tagged(str(tmp_path / "a.conll"))
    assert found.documents == (((("EU", "B-org"), ("rejects", "O")),), ((("Peter", "B-per"),),))
    assert not found.marked
    assert read_tagged(str(tmp_path), label_column="1").documents[0][0][0] == ("EU", "NNP")


def test_blanks_separate_too_and_the_name_of_a_file_is_free(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text(WORDS.replace("\t", "  ").replace("\n\n", "\n \t\n"))
    assert [len(one[0]) for one in read_tagged(str(tmp_path / "eng.train")).documents] == [2, 1]


def test_a_word_may_be_a_hash_in_columns(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("#win\tO\n# \tO\n")
    assert [word for word, _ in read_tagged(str(tmp_path)).documents[0][0]] == ["#win", "# "]


def test_documents_are_told_apart_where_they_are_marked(tmp_path: Path) -> None:
    head = "-DOCSTART- -X- O\n\n"
    (tmp_path / "a.conll").write_text(head + "a X O\n\nb X O\n\n" + head + "c X O\n")
    found = read_tagged(str(tmp_path))
    assert found.marked
    assert [len(document) for document in found.documents] == [2, 1]


def test_conllu_gives_forms_and_universal_tags_without_ranges_and_empty_words(tmp_path: Path) -> None:
    text = "# newdoc id = a\n# text = x\n" + conllu("1-2 dont _", "1 do AUX", "2 nt PART", "2.1 gone VERB")
    text += "\n# newdoc id = b\n" + conllu("1 hi INTJ")
    (tmp_path / "a.conllu").write_text(text)
    found = read_tagged(str(tmp_path / "a.conllu"))
    assert found.documents == (((("do", "AUX"), ("nt", "PART")),), ((("hi", "INTJ"),),))
    assert read_tagged(str(tmp_path), "form", "id").documents[1][0] == (("hi", "1"),)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.conll", "", "holds no words"),
        ("a.conll", "a\tO\nb\n", "line 2"),
        ("a.conll", "a\tO\n\nb\t\n", "line 3"),
        ("a.conll", "a\tO\nb\tO\tO\n", "line 2"),
        ("a.conll", "word\nword\n", "1 in the first line"),
        ("a.conllu", "1\ta\tX\n", "3 in the first line"),
        ("a.conllu", conllu("1 a X") + "\t\n\t2\n", "line 3"),
    ],
)
def test_what_is_malformed_is_refused_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_tagged(str(tmp_path / name))


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(WORDS)
    with pytest.raises(DataError, match="columns '0', '1', '2'"):
        read_tagged(str(tmp_path), label_column="3")
    with pytest.raises(OptionError):
        read_tagged("builtin:python-tokens", "0")
    with pytest.raises(UnknownName, match="python-tokens"):
        read_tagged("builtin:python-docs")


def test_the_identity_covers_words_tags_and_sentences(tmp_path: Path) -> None:
    texts = ("a\tO\nb\tO\n", "a\tO\n\nb\tO\n", "a\tO\nb\tB-x\n", "c\tO\nb\tO\n")
    hashes = set()
    for text in (*texts, texts[0]):
        (tmp_path / "a.conll").write_text(text)
        hashes.add(read_tagged(str(tmp_path)).sha256)
    assert len(hashes) == 4


def test_tags_of_the_built_in_hang_on_the_words_around() -> None:
    documents = read_tagged("builtin:python-tokens").documents
    kinds: dict[str, set[str]] = {}
    for word, tag in (pair for document in documents for sentence in document for pair in sentence):
        kinds.setdefault(word, set()).add(tag)
    assert sum(len(tags) > 1 for tags in kinds.values()) > 500
    assert set(TAGGED) == {"python-tokens"}


def test_real_corpora_have_the_sentences_that_their_papers_count(shared: Path) -> None:
    folder = shared / "data" / "token_classification"
    wnut = read_tagged(str(folder / "wnut17" / "emerging.test.annotated"))
    assert len(wnut.documents) == 1287
    assert sum(len(one[0]) for one in wnut.documents) == 23394
    ewt = read_tagged(str(folder / "ud_english_ewt" / "en_ewt-ud-dev.conllu"))
    assert ewt.marked
    assert sum(map(len, ewt.documents)) == 2001
    assert sum(len(sentence) for one in ewt.documents for sentence in one) == 25147
