"""The fuzzer in its small form, and proof that it can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.fuzz.campaign import Report, try_seeds  # noqa: E402
from benchmarks.fuzz.targets import TARGETS  # noqa: E402

sys.path.remove(str(ROOT))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and measures of memory are of Linux")

COUNTS = dict.fromkeys(TARGETS, 200) | {"tokenizers": 60}

PLANTED = '''
import os, time
from milepost.errors import DataError

def fine(rng, folder):
    """Nothing is wrong here, four times of five."""
    if rng.random() < 0.2:
        raise DataError("a", got="b", fix="c")

def raises(rng, folder):
    if rng.random() < 0.5:
        raise ValueError("planted")

def panics(rng, folder):
    raise BaseException("planted")

def computes(rng, folder):
    while rng.random() < 2:
        pass

def waits(rng, folder):
    time.sleep(1000)

def allocates(rng, folder):
    bytearray(b"x" * 150_000_000)

def breaks(rng, folder):
    os.abort()

class Long(DataError):
    def __str__(self):
        return "\\n".join([super().__str__().split("\\n")[0], "b" * 5000, "c"])

def pauses(rng, folder):
    """Ends the process on its first try of the third seed, as a machine that pauses would."""
    with open(folder / "tries", "a") as tries:
        tries.write("x")
    if (folder / "tries").stat().st_size == 3:
        os.kill(os.getpid(), 24)

def long(rng, folder):
    raise Long("a", got="b", fix="c")
'''


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    path = tmp_path / "planted.py"
    path.write_text(PLANTED)
    return path


@pytest.mark.parametrize("name", TARGETS)
def test_only_errors_of_milepost_come_out(name: str) -> None:
    count = COUNTS[name]
    report = try_seeds(name, 0, count)
    assert report.faults == {}
    assert sum(report.outcomes.values()) == count
    assert report.outcomes["ok"] and len(report.outcomes) > 1  # mutations break some, and leave some


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("panics", "BaseException: planted"),
        ("computes", "it computed for too long"),
        ("waits", "it was waited for too long"),
        ("allocates", "memory: "),
        ("breaks", "it broke down"),
        ("long", "text of an error has"),
    ],
)
def test_planted_fault_is_found_by_its_seed(reader: str, said: str, plant: Path) -> None:
    wait = 3 if reader == "waits" else 100
    count = 1 if reader in ("computes", "waits") else 2
    report = try_seeds(f"{plant}:{reader}", 7, count, seconds=1, megabytes=100, wait=wait)
    assert list(report.faults) == [7, 8][:count]
    assert all(said in fault for fault in report.faults.values())


def test_seeds_with_a_fault_are_named_and_the_others_counted(plant: Path) -> None:
    report = try_seeds(f"{plant}:raises", 0, 40)
    assert 0 < len(report.faults) < 40
    assert all("ValueError: planted" in fault for fault in report.faults.values())
    assert report.outcomes == {"ok": 40 - len(report.faults)}


def test_an_end_that_does_not_come_again_is_no_fault(plant: Path) -> None:
    report = try_seeds(f"{plant}:pauses", 10, 6)
    assert report.faults == {} and report.outcomes == {"ok": 6} and report.repeated == [12]


def test_a_sound_reader_has_no_faults(plant: Path) -> None:
    report = try_seeds(f"{plant}:fine", 0, 60, megabytes=100)
    assert report.faults == {} and report.outcomes.keys() == {"ok", "MP110"}


def test_it_stops_after_so_many_faults(plant: Path) -> None:
    assert len(try_seeds(f"{plant}:panics", 0, 50, most_faults=3).faults) == 3


def test_seeds_give_the_same_wherever_a_run_begins(plant: Path) -> None:
    def outcomes(first: int, count: int) -> list[str]:
        found: list[str] = []

        def note(seed: int, report: Report) -> None:
            found.append(str(sorted(report.outcomes.items())))

        try_seeds(f"{plant}:fine", first, count, progress=note)
        return found

    whole = outcomes(20, 40)
    before, after = (try_seeds(f"{plant}:fine", first, 20) for first in (20, 40))
    assert whole == outcomes(20, 40)
    assert whole[-1] == str(sorted((before.outcomes + after.outcomes).items()))


def test_worker_that_cannot_start_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot work"):
        try_seeds(f"{tmp_path}/absent.py:reader", 0, 3)
