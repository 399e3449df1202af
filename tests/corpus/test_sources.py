from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from milepost.corpus import sources, tables
from milepost.corpus.sources import iterate_lines, read_characters
from milepost.corpus.text import read_text
from milepost.errors import DataError, OptionError
from milepost.tasks.conll import read_tagged
from milepost.tasks.pictures import read_pictures
from milepost.tasks.series import read_series

READERS: dict[str, Callable[[str], object]] = {
    "a.txt": read_text,
    "a.csv": read_text,
    "a.tsv": read_text,
    "a.jsonl": read_text,
    "a.parquet": read_text,
    "a.conll": read_tagged,
    "b.csv": read_series,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", READERS)
def test_pipe_is_refused_and_never_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        READERS[name](str(tmp_path / name))


@pytest.mark.parametrize("name", READERS)
def test_device_without_end_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match="not a regular file"):
        READERS[name](str(tmp_path / name))


@pytest.mark.parametrize("name", READERS)
def test_sparse_file_of_60_gigabytes_is_refused_by_the_stated_limit(name: str, tmp_path: Path) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(60_000_000_000)
    with pytest.raises(DataError) as refused:
        READERS[name](str(tmp_path / name))
    if name != "a.parquet":  # which is no Parquet file by its end
        assert f"{sources.MAX_DATA_BYTES:,} bytes" in refused.value.fix


def test_folder_is_limited_as_one_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_DATA_BYTES", 100)
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("x" * 60)
    read_text(str(tmp_path / "a.txt"))
    with pytest.raises(DataError, match="too large"):
        read_text(str(tmp_path))


def test_pieces_join_to_the_text_wherever_they_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\ufeffé\r\nß\r€\n\n😀end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    wanted = "é\nß\n€\n\n😀end"
    for size in (3, 4, 5, 7, 1000):  # a mark is three bytes
        monkeypatch.setattr(sources, "_PIECE_BYTES", size)
        assert read_characters(tmp_path / "a.txt") == wanted
        assert list(iterate_lines(tmp_path / "a.txt")) == wanted.splitlines(keepends=True)


@pytest.mark.parametrize("size", [3, 5, 1000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_error_names_the_offset_of_the_byte_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, mark: bytes
) -> None:
    monkeypatch.setattr(sources, "_PIECE_BYTES", size)
    (tmp_path / "a.txt").write_bytes(mark + "é€x".encode() + b"\xe9!")
    with pytest.raises(DataError, match=f"byte 0xe9 at offset {len(mark) + 6}"):
        read_characters(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(mark + b"abc\xe2\x82")  # ends within a character
    with pytest.raises(DataError, match=f"byte 0xe2 at offset {len(mark) + 3}"):
        read_characters(tmp_path / "a.txt")


def test_zero_byte_is_named_by_its_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PIECE_BYTES", 4)
    (tmp_path / "a.txt").write_bytes("éé\0".encode())
    with pytest.raises(DataError, match="a zero byte at character 2"):
        read_characters(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "' + "x" * 300 + '"}'),
        ("a.csv", "text\n" + "x" * 300),
        ("a.csv", 'text\n"opens' + "\nx" * 300),
        ("a.conll", "x" * 300 + " N"),
    ],
)
def test_line_without_end_is_refused(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_LINE_CHARACTERS", 200)
    monkeypatch.setattr(tables, "MAX_LINE_CHARACTERS", 200)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="too long") as refused:
        READERS[name](str(tmp_path / name))
    assert "at most 200 characters" in refused.value.fix


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.conll", "b.csv"])
def test_rows_are_limited(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_ROWS", 5)
    file = tmp_path / name
    if name == "a.parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": ["x"] * 9}), file)
    else:
        line = {"a.jsonl": '{"text": "x"}', "a.conll": "x N", "b.csv": "1"}.get(name, "x")
        file.write_text("\n".join([line] * 9))
    with pytest.raises(DataError, match="too many rows"):
        READERS[name](str(file))


def test_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ' + "9" * 5000 + "}")
    with pytest.raises(DataError, match="not JSON"):
        read_text(str(tmp_path / "a.jsonl"))


def test_json_of_lists_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_JSON_VALUES", 20)
    (tmp_path / "a.jsonl").write_text('{"text": "x", "y": [' + ",".join(["[]"] * 30) + "]}")
    with pytest.raises(DataError, match="too many lists"):
        read_text(str(tmp_path / "a.jsonl"))


def _peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_series_are_read_in_little_more_memory_than_their_numbers(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    np.savetxt(tmp_path / "a.csv", rows, "%.6f", ",", header="a,b,c,d", comments="")
    assert _peak_of(lambda: read_series(str(tmp_path / "a.csv"))) < 4 * rows.nbytes + 5 * sources._PIECE_BYTES


def test_columns_that_are_not_wanted_are_not_kept(tmp_path: Path) -> None:
    row = ",".join(["text", *(f"{'x' * 40}{number}" for number in range(50))])
    (tmp_path / "a.csv").write_text("\n".join([row] * 3000))
    assert _peak_of(lambda: read_text(str(tmp_path / "a.csv"), "0", header=False)) < 6_000_000


def test_the_measure_of_memory_can_fail() -> None:
    assert _peak_of(lambda: [bytearray(1 << 20) for _ in range(20)]) > 20 << 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_among_images_and_idx_files_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "0.png")
    with pytest.raises(DataError, match="not a regular file"):
        read_pictures(str(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "train-images-idx3-ubyte").write_bytes(
        bytes.fromhex("00000803000000010000000100000001ff")
    )
    os.mkfifo(tmp_path / "m" / "train-labels-idx1-ubyte")
    with pytest.raises(DataError, match="not a regular file"):
        read_pictures(str(tmp_path / "m"))


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-16", b"no mark at all"),
        ("utf-7", b"+\xff"),
        ("hz", b"~\xff"),
        ("utf-32", b"\xff\xfe\0\0\xff\xff\xff\xff"),
    ],
)
def test_text_in_another_encoding_than_the_one_given_is_refused(
    tmp_path: Path, encoding: str, content: bytes
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"not {encoding} text"):
        read_text(str(tmp_path / "a.txt"), encoding=encoding)


@pytest.mark.parametrize("encoding", ["idna", "punycode", "unicode_escape", "rot13", "hex", ""])
def test_codecs_that_are_no_encodings_of_files_are_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(OptionError, match="no text encoding"):
        read_text(str(tmp_path / "a.txt"), encoding=encoding)
