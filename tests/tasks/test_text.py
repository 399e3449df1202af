from __future__ import annotations

from pathlib import Path

import pytest

from milepost.errors import DataError, UnknownName
from milepost.tasks import read_text


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


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "no text"),
        ("blank.txt", b" \n\t\n", "no text"),
        ("binary.txt", b"a\x00b", "zero byte at character 1"),
        ("latin.txt", "ça".encode("latin-1"), "byte 0xe7 at offset 0"),
        ("table.parquet", b"PAR1", "format"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_text(str(tmp_path / name))


def test_a_missing_path_and_a_folder_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data at this path"):
        read_text(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no text files"):
        read_text(str(tmp_path))


def test_an_unknown_built_in_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="python-docs"):
        read_text("builtin:python-doc")


def test_real_books_are_read(shared: Path) -> None:
    text = read_text(str(shared / "data" / "text" / "gutenberg"))
    assert len(text.documents) == 2
    assert not any("\r" in document or document.startswith("\ufeff") for document in text.documents)


def test_a_real_folder_with_a_file_of_another_encoding_names_it(shared: Path) -> None:
    with pytest.raises(DataError, match=r"2005-Bush\.txt"):
        read_text(str(shared / "data" / "documents" / "inaugural"))
