from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milepost.corpus.parquet import read_parquet
from milepost.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")


def write(path: Path, table: Any, **options: Any) -> Path:
    from pyarrow import parquet

    parquet.write_table(table, path, **options)
    return path


def read(path: Path, *indices: int) -> list[list[str]]:
    return read_parquet(path, lambda names: list(indices))


def test_text_numbers_and_truth_values_are_read_and_nulls_are_empty(tmp_path: Path) -> None:
    words = ["x", None, "x"]
    columns = {"a": words, "b": [1, None, 3], "c": [1.5, 2.0, None], "d": [True, False, None]}
    table = pyarrow.table({**columns, "e": pyarrow.array(words).dictionary_encode()})
    file = write(tmp_path / "a.parquet", table, row_group_size=2)
    assert read(file, 0, 1, 2, 3, 4) == [
        ["x", "1", "1.5", "True", "x"],
        ["", "", "2.0", "False", ""],
        ["x", "3", "", "", "x"],
    ]
    assert read(file, 1, 1) == [["1", "1"], ["", ""], ["3", "3"]]


def test_column_with_a_dot_is_not_taken_for_the_field_of_another(tmp_path: Path) -> None:
    table = pyarrow.table({"a": [{"text": "inside"}], "a.text": ["outside"]})
    assert read(write(tmp_path / "a.parquet", table), 1) == [["outside"]]


def _with_bad_text() -> Any:
    ends, raw = np.array([0, 2], np.int32).tobytes(), b"\xff\xfe"
    return pyarrow.table(
        {
            "a": pyarrow.Array.from_buffers(
                pyarrow.string(), 1, [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(raw)]
            )
        }
    )


REFUSED = {
    "can't decode byte 0xff": _with_bad_text,
    "timestamp": lambda: pyarrow.table({"a": pyarrow.array([2**62], pyarrow.timestamp("ms"))}),
    "date32": lambda: pyarrow.table({"a": pyarrow.array([2**30], pyarrow.date32())}),
    "binary": lambda: pyarrow.table({"a": [b"x"]}),
    "struct": lambda: pyarrow.table({"a": [{"x": 1}]}),
    "two columns": lambda: pyarrow.table([pyarrow.array(["x"])] * 2, names=["a", "a"]),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_no_column_of_text_is_refused(said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        read(write(tmp_path / "a.parquet", REFUSED[said]()), 0)


def test_small_file_that_holds_gigabytes_is_refused_by_the_stated_limit(tmp_path: Path) -> None:
    zeros = pyarrow.array(np.zeros(3000, np.int32))
    column = pyarrow.DictionaryArray.from_arrays(zeros, pyarrow.array(["x" * 1_000_000]))
    file = write(tmp_path / "a.parquet", pyarrow.table({"a": column}), compression="zstd")
    with pytest.raises(DataError, match="too large") as refused:
        read(file, 0)
    assert "1,073,741,824 bytes" in refused.value.fix


def test_file_that_is_compressed_too_far_is_refused(tmp_path: Path) -> None:
    column = pyarrow.array(["x" * 1_000_000 + str(number) for number in range(70)])
    file = write(
        tmp_path / "a.parquet", pyarrow.table({"a": column}), compression="zstd", use_dictionary=False
    )
    with pytest.raises(DataError, match="at most 200 bytes in each byte"):
        read(file, 0)


def test_text_that_repeats_is_held_once(tmp_path: Path) -> None:
    zeros = pyarrow.array(np.zeros(500, np.int32))
    column = pyarrow.DictionaryArray.from_arrays(zeros, pyarrow.array(["x" * 1_000_000]))
    rows = read(write(tmp_path / "a.parquet", pyarrow.table({"a": column}), compression="zstd"), 0)
    assert len(rows) == 500 and len({id(text) for (text,) in rows}) == 1


def test_damaged_metadata_of_a_column_end_no_process(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", pyarrow.table({"a": ["x", "y", None]}))
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for _ in range(3000):
        content = bytearray(whole)
        for at in rng.integers(footer, len(whole) - 8, rng.integers(1, 3)):
            content[at] = rng.integers(256)
        file.write_bytes(content)
        try:
            read(file, 0)
        except DataError:
            refused += 1
    assert 300 < refused < 3000  # much is found to be damaged, and some changes do not matter
