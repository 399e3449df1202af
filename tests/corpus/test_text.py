from __future__ import annotations

import builtins
import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.corpus.text import LABELLED, read_labelled, read_text
from milepost.errors import DataError, MissingExtra, OptionError, UnknownName, UnsafeFile


def test_a_folder_is_read_at_any_depth_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name, text in {
        "b/1.txt": "two",
        "a.TXT": "one",
        ".git/x.txt": "no",
        "c.md": "no",
        "d.txt": " \n",
    }.items():
        (tmp_path / name).write_text(text)
    assert read_text(str(tmp_path)).documents == ("one", "two")


def test_byte_order_mark_and_old_newlines_go(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(str(tmp_path / "a.txt")).documents == ("one\ntwo\nthree\n",)


def test_the_identity_of_the_data_is_its_content_and_its_boundaries(tmp_path: Path) -> None:
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
    for name in ("x/1.txt", "y/other.txt"):
        (tmp_path / name).write_text("same text")
    (tmp_path / "z/1.txt").write_text("same ")
    (tmp_path / "z/2.txt").write_text("text")
    x, y, z = (read_text(str(tmp_path / name)).sha256 for name in ("x", "y", "z"))
    assert x == y != z


def parquet(path: Path, columns: dict[str, list[object]]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    from pyarrow import parquet as written

    written.write_table(pyarrow.table(columns), path)


def write_table(path: Path, rows: list[tuple[str, str]]) -> None:
    """The same two columns, ``text`` and ``label``, in the format that the name asks for."""
    if path.suffix == ".parquet":
        parquet(path, {"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    else:
        path.write_text("\n".join("\t".join(row) for row in [("text", "label"), *rows]) + "\n")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_all_formats_of_tables_hold_the_same_documents(tmp_path: Path, suffix: str) -> None:
    rows = [('a "quoted, word', "x"), ('"opens and goes on', "y"), ("", "x"), ("line sep\u2028here", "x")]
    write_table(tmp_path / f"a{suffix}", rows)
    kept = [row for row in rows if row[0]]
    assert read_text(str(tmp_path / f"a{suffix}")).documents == tuple(text for text, _ in kept)
    assert read_text(str(tmp_path), "1").documents == ("x", "y", "x", "x")
    assert read_labelled(str(tmp_path)).documents == tuple(kept)


def test_a_field_may_be_longer_than_the_limit_of_the_csv_module_which_is_left_as_it_was(
    tmp_path: Path,
) -> None:
    before = csv.field_size_limit()
    write_table(tmp_path / "a.csv", [("x\n" * 200_000, "y")])
    assert len(read_text(str(tmp_path / "a.csv")).documents[0]) == 400_000
    assert csv.field_size_limit() == before


def test_without_a_header_columns_are_indices_and_the_first_row_is_data(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('ham\tsay "hi\nspam\t"win\n')
    found = read_labelled(str(tmp_path / "a.tsv"), "1", "0", header=False)
    assert found.documents == (('say "hi', "ham"), ('"win', "spam"))
    with pytest.raises(DataError, match="columns 'ham'") as caught:
        read_labelled(str(tmp_path / "a.tsv"))
    assert "--no-header" in caught.value.fix


def test_the_only_column_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"body\rone\rtwo\r")
    assert read_text(str(tmp_path / "a.csv")).documents == ("one", "two")


def test_numbers_are_labels_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one", "label": 1}\n\n{"text": "two", "label": 0, "more": []}'
    )
    assert read_labelled(str(tmp_path)).documents == (("one", "1"), ("two", "0"))


def test_folders_name_the_labels_of_their_text_files(tmp_path: Path) -> None:
    for name in ("neg/1.txt", "pos/deep/1.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    assert read_labelled(str(tmp_path)).documents == (("neg/1.txt", "neg"), ("pos/deep/1.txt", "pos"))
    (tmp_path / "loose.txt").write_text("x")
    with pytest.raises(DataError, match="no label"):
        read_labelled(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "no text"),
        ("blank.txt", b" \n\t\n", "no text"),
        ("empty.csv", b"", "no text"),
        ("header.csv", b"text,label\n", "no text"),
        ("binary.txt", b"a\x00b", "zero byte at character 1"),
        ("binary.csv", b"text\na\x00b\n", "zero byte"),
        ("latin.txt", "ça".encode("latin-1"), "byte 0xe7 at offset 0"),
        ("page.md", b"# x", "format"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "line 2: Expecting value"),
        ("a.jsonl", b'{"text": "x"}\n[1]\n', "line 2: .1."),
        ("a.jsonl", b'{"text": "x", "id": 1}\n{"id": 1}\n', "lacks 'text'"),
        ("a.jsonl", b'{"text": {"a": 1}}\n', "line 1: dict"),
        ("a.jsonl", b"[" * 100_000, "line 1: nested too deep"),
        ("a.jsonl", b'{"text": "\\ud800"}', "surrogate"),
        ("a.csv", b'text,label\nx,y\n"opens,y\nz,y\n', "from line 3 on"),
        ("a.csv", b'text,label\n"a" b,y\n', "from line 2 on"),
        ("a.csv", b"text,label\nx,y\n\nx\n", "line 4: 1 fields, 2 in the first"),
        ("a.tsv", b"text\tlabel\nx\ty\tz\n", "line 2: 3 fields"),
        ("a.csv", b"text,text\nx,y\n", "2 columns named 'text'"),
        ("a.csv", b"body,id\nx,y\n", "columns 'body', 'id'"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_text(str(tmp_path / name))


def test_a_malformed_parquet_file_and_one_of_lists_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "lists.parquet", {"text": [["a"], ["b"]]})
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    for name, said in (("bad", "Parquet file cannot be read"), ("lists", "list<element: string>")):
        with pytest.raises(DataError, match=said):
            read_text(str(tmp_path / f"{name}.parquet"))


def test_parquet_without_its_extra_is_answered_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args)  # type: ignore[arg-type]

    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"milepost\[parquet\]"):
        read_text(str(tmp_path / "a.parquet"))


def test_a_missing_path_and_a_folder_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data at this path"):
        read_text(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no data at this path"):
        read_text("a text where a path is wanted " * 200)
    with pytest.raises(DataError, match="no text files"):
        read_text(str(tmp_path))


def test_a_folder_of_several_formats_is_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv"):
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"1 \.csv, 2 \.txt"):
        read_text(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_links_stay_in_the_folder_and_a_pipe_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("mine")
    (tmp_path / "in" / "b.txt").symlink_to(tmp_path / "in" / "a.txt")
    assert read_text(str(tmp_path / "in")).documents == ("mine", "mine")
    (tmp_path / "secret.txt").write_text("not mine")
    (tmp_path / "in" / "c.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UnsafeFile, match=r"c\.txt"):
        read_text(str(tmp_path / "in"))
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match="not a regular file"):
        read_text(str(tmp_path / "pipe.txt"))


@pytest.mark.parametrize("read", [lambda s: read_text(s, "text"), lambda s: read_labelled(s, None, "label")])
def test_a_column_of_what_has_none_is_refused(tmp_path: Path, read: Callable[[str], object]) -> None:
    (tmp_path / "a.txt").write_text("x")
    for source in (str(tmp_path / "a.txt"), "builtin:python-docs", "builtin:python-docstrings"):
        with pytest.raises((OptionError, UnknownName)):
            read(source)


def test_a_document_without_a_label_is_refused_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,1\ny,\n")
    with pytest.raises(DataError, match="row 2"):
        read_labelled(str(tmp_path / "a.csv"))


def test_an_unknown_built_in_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="python-docs"):
        read_text("builtin:python-doc")
    with pytest.raises(UnknownName, match="python-docstrings"):
        read_labelled("builtin:python-docs")


def test_labelled_built_ins_have_classes_of_many_documents() -> None:
    for name in LABELLED:
        documents = read_labelled(f"builtin:{name}").documents
        counts = [sum(label == one for _, label in documents) for one in {label for _, label in documents}]
        assert len(counts) > 3
        assert min(counts) > 50


def test_real_books_are_read(shared: Path) -> None:
    text = read_text(str(shared / "data" / "text" / "gutenberg"))
    assert len(text.documents) == 2
    assert not any("\r" in document or document.startswith("\ufeff") for document in text.documents)


def test_a_real_folder_with_a_file_of_another_encoding_names_it(shared: Path) -> None:
    with pytest.raises(DataError, match=r"2005-Bush\.txt"):
        read_text(str(shared / "data" / "documents" / "inaugural"))


def test_real_tables_are_read(shared: Path) -> None:
    folder = shared / "data" / "classification"
    sms = read_labelled(str(folder / "short_sms_spam" / "sms.tsv"), "1", "0", header=False).documents
    assert len(sms) == 5574
    assert sum(label == "spam" for _, label in sms) == 747
    peps = read_labelled(str(folder / "long_peps" / "train.jsonl")).documents
    assert len(peps) == 148
    news = read_text(str(folder / "short_ag_news" / "test.head4000.csv"), "2", header=False).documents
    assert len(news) == 4000
    cents = read_text(str(shared / "data" / "timeseries" / "example_air_passengers.csv"), "y")
    assert len(cents.documents) == 144
