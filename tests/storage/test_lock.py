from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from milepost.errors import FolderError
from milepost.storage import lock
from milepost.storage.lock import locked

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.crash
@pytest.mark.skipif(sys.platform == "win32", reason="flock of POSIX")
def test_a_lock_keeps_other_processes_out_until_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with locked(path, patience_seconds=0.1) as handle:
            assert handle is None
        holder.kill()
        with locked(path, patience_seconds=30) as handle:
            assert handle is not None


def test_patience_ends(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        begin = time.monotonic()
        with locked(tmp_path / "lock", patience_seconds=0.2) as second:
            assert second is None
        assert time.monotonic() - begin >= 0.2


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, taken = tmp_path / "lock", list[int]()
    take = lock._take

    def remove_first(path: Path, handle: int) -> bool:
        if not taken:
            path.unlink()
        taken.append(handle)
        return take(path, handle)

    monkeypatch.setattr(lock, "_take", remove_first)
    with locked(path) as handle:
        assert handle is not None
        assert path.exists()
        with locked(path, patience_seconds=0) as second:
            assert second is None
    assert len(taken) == 3


def test_a_file_system_without_locks_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(FolderError, match="cannot lock files") as caught, locked(tmp_path / "lock"):
        pass
    assert caught.value.exit_code == 2
