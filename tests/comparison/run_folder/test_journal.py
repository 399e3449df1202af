from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from milepost.comparison.run_folder.journal import History, Journal, Past
from milepost.errors import DiskFull


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def events(history: History) -> list[str]:
    return [entry["event"] for entry in history.entries]


def test_what_is_appended_is_read_again(journal: Journal) -> None:
    journal.append("begun", "a", seed=3)
    journal.append("failed", "a", reason="no memory\nat all – ‘really’")
    (begun, failed), remarks = journal.read().entries, journal.read().remarks
    assert remarks == ()
    assert (begun["event"], begun["trial"], begun["seed"]) == ("begun", "a", 3)
    assert failed["reason"] == "no memory\nat all – ‘really’"
    assert len(journal.path.read_text().splitlines()) == 2


def test_a_journal_that_is_not_there_is_empty(journal: Journal) -> None:
    assert journal.read() == History(())
    assert journal.read().past("a") == Past()


def test_cut_at_any_byte_it_keeps_all_whole_lines_says_so_and_goes_on(journal: Journal) -> None:
    names = ["begun", "checkpoint", "finished"]
    for name in names:
        journal.append(name, "a")
    content = journal.path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        journal.path.write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends)
        torn = cut not in (0, *ends)
        history = journal.read()
        assert events(history) == names[:whole]
        assert len(history.remarks) == torn
        journal.append("resumed", "a")
        assert events(journal.read()) == [*names[:whole], *["torn"] * torn, "resumed"]
        assert journal.read().remarks == ()


def test_a_damaged_line_in_the_middle_is_passed_over_and_named(journal: Journal) -> None:
    for name in ("begun", "checkpoint", "finished"):
        journal.append(name, "a")
    first, second, third = journal.path.read_bytes().splitlines(keepends=True)
    for place in range(len(second) - 1):
        for bit in (1, 64):
            changed = bytes([second[place] ^ bit])
            if changed == b"\n":
                continue
            journal.path.write_bytes(first + second[:place] + changed + second[place + 1 :] + third)
            history = journal.read()
            assert events(history) == ["begun", "finished"]
            assert ["line 2 is damaged" in remark for remark in history.remarks] == [True]


@pytest.mark.parametrize("line", ["[]", "null", "7", "{}", '{"event": "failed"}', "[" * 100_000])
def test_lines_that_are_no_entries_are_passed_over(journal: Journal, line: str) -> None:
    journal.path.write_text(line + "\n")
    assert journal.read().entries == ()
    assert len(journal.read().remarks) == 1


def test_a_failure_is_remembered_until_the_trial_is_taken_up_again(journal: Journal) -> None:
    pasts = []
    for event, facts in (
        ("begun", {}),
        ("failed", {"reason": "no memory"}),
        ("resumed", {}),
        ("diverged", {"reason": "not a number"}),
        ("begun", {}),
        ("finished", {}),
    ):
        journal.append(event, "a", **facts)
        pasts.append(journal.read().past("a"))
    assert pasts == [Past(0), Past(1, "no memory"), Past(1), Past(2), Past(2), Past(2, finished=True)]
    assert journal.read().past("b") == Past()


def test_many_writers_at_once_lose_nothing(journal: Journal) -> None:
    def write(name: str) -> None:
        for number in range(20):
            journal.append("checkpoint", name, step=number)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(entry["trial"], entry["step"]) for entry in journal.read().entries]
    assert sorted(found) == [(name, number) for name in "abc" for number in range(20)]
    assert journal.read().remarks == ()


def test_a_full_disk_leaves_the_journal_as_it_was(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append("begun", "a")
    before, write = journal.path.read_bytes(), os.write

    def write_half(handle: int, content: Any) -> int:
        if len(content) > 20:
            return write(handle, bytes(content)[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(DiskFull, match="No space left on device") as caught:
        journal.append("finished", "a")
    assert caught.value.exit_code == 2
    assert str(caught.value).count("\n") == 2
    assert journal.path.read_bytes() == before


def test_long_reasons_are_cut(journal: Journal) -> None:
    journal.append("failed", "a", reason="x" * 100_000)
    assert len(json.loads(journal.path.read_text())["reason"]) == 2_000
