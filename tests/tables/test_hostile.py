"""Every file of the corpus is refused: one clear error, nothing run, nothing written, nothing opened outside."""

import contextlib
import os
import random
import struct
import sys
import traceback
from pathlib import Path

import hostile
import pytest

from milepost import errors
from milepost.errors import MilepostError
from milepost.tables import parse_header, parse_json, read

_watching = []  # an audit hook cannot be taken away again, so there is one, and this list switches it


def _note(event, arguments):
    if _watching and event in ("open", "os.mkdir", "os.rename", "os.remove", "subprocess.Popen", "os.system"):
        _watching[-1].append((event, arguments))


sys.addaudithook(_note)


def listing(folder):
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.fixture(scope="module", autouse=True)
def loaded():
    import torch  # its import opens files; it is done before anything is watched

    assert torch


def refuse(name, folder):
    builder, words, kind = hostile.CASES[name]
    model = builder(folder) or folder
    before, watched = listing(folder.parent), []
    _watching.append(watched)
    try:
        read(model, first_row=0 if str(model).endswith(".npy") else None, allow_pickle=True)
    except MilepostError as error:
        caught = error
    finally:
        _watching.pop()
    assert listing(folder.parent) == before
    return caught, watched, words, kind


@pytest.mark.parametrize("name", hostile.CASES)
def test_hostile_file_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    folder.mkdir()
    error, watched, words, kind = refuse(name, folder)
    assert type(error) is getattr(errors, kind), traceback.format_exception(error)
    assert error.exit_code == 3
    assert words in str(error)
    text = str(error)
    assert len(text) < 900
    assert text.replace("\n", "").isprintable()
    assert error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)
    for event, arguments in watched:
        if event == "subprocess.Popen" and name.startswith("pickle_"):
            assert arguments[1][1:] == [
                "-P",
                "-m",
                "milepost.tables.unpickling",
            ]  # and no process but this one
            continue
        assert event == "open", (event, arguments)
        path, mode, flags = arguments
        if name.startswith("pickle_") and path == os.devnull:
            continue  # standard error of the process that reads it; that nothing ran in there, the listing says
        if isinstance(path, int) or str(path).startswith(sys.prefix) or "/lib/python" in str(path):
            continue
        assert Path(os.fsdecode(path)).resolve().is_relative_to(folder), path
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or mode == "rb", (path, mode)


def test_corpus_is_large_and_its_honest_case_is_read(tmp_path):
    assert len(hostile.CASES) >= 40
    hostile.write(tmp_path)
    assert read(tmp_path).table().rows.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]


def test_the_watch_sees_what_it_is_for(tmp_path):
    watched = []
    _watching.append(watched)
    try:
        (tmp_path / "x").write_text("y")
        (tmp_path / "z").mkdir()
    finally:
        _watching.pop()
    assert [event for event, _ in watched] == ["open", "os.mkdir"]


MARKS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\ud800", b"\0", b"\xff", b"-", b".5", b"e9", b" ",
         b"true", b"null", b"NaN", b"0", b"1", b"99999999999999999999", b'"shape"', b'"F4"', b'"__metadata__"']  # fmt: skip


def mutate(raw, source):
    raw = bytearray(raw)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(raw) + 1)
        kind = source.randrange(5)
        if kind == 0 and at < len(raw):
            raw[at] = source.randrange(256)
        elif kind == 1:
            raw[at:at] = source.choice(MARKS)
        elif kind == 2:
            del raw[at : at + source.randint(1, 6)]
        elif kind == 3:
            other = source.randrange(len(raw) + 1)
            raw[at:at] = raw[other : other + source.randint(1, 40)]
        else:
            raw[at : at + 1] = source.choice(MARKS)
    return bytes(raw)


def test_only_our_own_errors_escape_from_20000_mutated_headers():
    source = random.Random(20260)
    honest = hostile.safetensors({"__metadata__": {"format": "pt"}, **hostile.TWO}, b"")[8:]
    size = 8 + len(honest) + 36
    outcomes = {"read": 0, "refused": 0}
    for _ in range(20_000):
        raw = mutate(honest, source)
        try:
            header = parse_header(raw, size + len(raw) - len(honest), "model.safetensors")
        except MilepostError as error:
            outcomes["refused"] += 1
            assert str(error).replace("\n", "").isprintable()
        else:
            outcomes["read"] += 1
            ends = sorted((entry.begin, entry.end) for entry in header.entries.values())
            assert not ends or (ends[0][0], ends[-1][1]) == (8 + len(raw), 8 + len(raw) + 36)
    assert outcomes["refused"] > 10_000 and outcomes["read"] > 100


def test_only_our_own_errors_escape_from_mutated_configurations():
    source = random.Random(7)
    for _ in range(2_000):
        raw = mutate(b'{"model_type": "bert", "a": [1, {"b": 2}]}', source)
        with contextlib.suppress(MilepostError):
            assert isinstance(parse_json(raw, "config.json"), dict)


def test_honest_length_with_a_mutated_file_is_refused_or_read(tmp_path):
    source = random.Random(3)
    hostile.write(tmp_path)
    path = tmp_path / "model.safetensors"
    honest = path.read_bytes()
    for _ in range(300):
        raw = bytearray(honest)
        raw[source.randrange(len(raw))] = source.randrange(256)
        path.write_bytes(raw)
        with contextlib.suppress(MilepostError):
            read(tmp_path)
    path.write_bytes(struct.pack("<Q", 2**63) + honest[8:])
    with pytest.raises(MilepostError, match="longer than the file"):
        read(tmp_path)
