"""Child processes stay off the current directory, and there is one way to start them."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from milepost.storage import processes
from milepost.storage.processes import leave_current_directory, run_python, safe_environment, start_python

ROOT = Path(__file__).parents[2]
STARTERS = {"subprocess", "multiprocessing", "concurrent.futures.process", "torch.multiprocessing", "pty", "runpy",
            "joblib", "loky", "torch.distributed.launch", "torch.distributed.run", "torch.distributed.elastic",
            "torch.distributed.launcher"}  # fmt: skip
NAMES = {
    "ProcessPoolExecutor",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "executable",
    "num_workers",
}
CALLS_OF_OS = ("system", "popen", "fork", "forkpty", "exec", "spawn", "posix_spawn", "startfile")


def ways_around(text: str, *, programs: bool = False) -> list[str]:
    """What in a source could start a process in another way; ``programs`` may be run by name where no Python is."""
    allowed = {"subprocess"} if programs else set()
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            named = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            named |= {alias.name for alias in node.names} & NAMES
        elif isinstance(node, ast.Attribute):
            of_os = isinstance(node.value, ast.Name) and node.value.id in ("os", "posix")
            named = {node.attr} & NAMES
            named |= {f"os.{node.attr}"} if of_os and node.attr.startswith(CALLS_OF_OS) else set()
        elif isinstance(node, ast.keyword):
            named = {node.arg or ""} & NAMES
        else:
            continue
        parts = {name for name in named - allowed if _starts(name)}
        found += [f"line {getattr(node, 'lineno', 0)}: {name}" for name in sorted(parts)]
    return found


def _starts(name: str) -> bool:
    return (
        name in NAMES or name.startswith("os.") or any(f"{name}.".startswith(f"{one}.") for one in STARTERS)
    )


@pytest.mark.parametrize("folder", ["src/milepost", "benchmarks"])
def test_there_is_one_way_to_start_a_process(folder: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix(): ways
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(processes.__file__)
        and (ways := ways_around(path.read_text("utf-8"), programs=folder == "benchmarks"))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess",
        "from subprocess import run",
        "import multiprocessing.pool",
        "from multiprocessing import get_context",
        "import torch.multiprocessing as mp",
        "from torch import multiprocessing",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor(2)",
        "import os\nos.system('x')",
        "import os\nos.execv('x', [])",
        "import os\nos.posix_spawn('x', [], {})",
        "import sys\n[sys.executable, '-m', 'x']",
        "DataLoader(data, num_workers=2)",
        "from torch.distributed.run import main",
        "import asyncio\nasyncio.create_subprocess_exec('x')",
    ],
)
def test_another_way_is_found(text: str) -> None:
    assert ways_around(text)


def test_names_that_only_look_alike_are_no_ways() -> None:
    assert ways_around("import os\nos.environ\nfrom concurrent.futures import ThreadPoolExecutor") == []
    assert ways_around("import subprocess\nsubprocess.run(['cp', 'a', 'b'])", programs=True) == []


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: modules of standard names, each of which leaves a mark when it runs."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in ("json", "pickle", "socket", "zipfile", "threading", "milepost", "numpy"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(folder)
    return folder


LOOK = "import json, pickle, socket, zipfile, numpy, milepost.errors"


@pytest.mark.parametrize("path", [None, "", ".", os.pathsep, "relative", "{home}::", ":{home}", "../hostile"])
def test_a_child_does_not_import_from_the_current_directory(
    path: str | None, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(Path(processes.__file__).parents[2])
    (hostile / "relative").mkdir()
    (hostile / "relative" / "json.py").write_text((hostile / "json.py").read_text())
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path.format(home=home))
    done = run_python(["-c", LOOK])
    assert (done.returncode, done.stderr) == (0, "")
    assert not (hostile.parent / "ran").exists()


def test_what_a_child_starts_does_not_either(hostile: Path) -> None:
    program = f"""if True:
        import os, subprocess, sys
        from multiprocessing import get_context, resource_tracker
        assert subprocess.run([sys.executable, "-c", {LOOK!r}]).returncode == 0
        resource_tracker.ensure_running()
        worker = get_context("spawn").Process(target=os.getcwd)
        worker.start()
        worker.join()
        sys.exit(worker.exitcode)"""
    done = run_python(["-c", program])
    assert (done.returncode, done.stderr) == (0, "")
    assert not (hostile.parent / "ran").exists()


def test_a_child_without_the_safe_path_would_be_seen(hostile: Path) -> None:
    with start_python(["-c", f"import sys; sys.path.insert(0, ''); {LOOK}"], stderr=processes.DEVNULL):
        pass
    assert "json" in (hostile.parent / "ran").read_text()


def test_absolute_entries_and_the_rest_of_the_environment_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path), "x"]))
    monkeypatch.setenv("MILEPOST_TEST", "kept")
    found = safe_environment()
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)
    assert all(Path(entry).is_absolute() for entry in found["PYTHONPATH"].split(os.pathsep))
    assert (found["MILEPOST_TEST"], found["PYTHONSAFEPATH"]) == ("kept", "1")
    assert run_python(["-c", "import os; print(os.environ['X'])"], variables={"X": "7"}).stdout == "7\n"


def test_a_program_leaves_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "x", "/kept"]))
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(tmp_path / "x"), "/kept", "/else"])
    leave_current_directory()
    assert sys.path == ["/kept", "/else"]
    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ["PYTHONPATH"].split(os.pathsep)[0] == "/kept"


def test_python_m_milepost_leaves_it_before_it_imports_more(hostile: Path) -> None:
    # what Python imports before our first line cannot be undone; what we import later is not in its hands
    program = [sys.executable, "-m", "milepost", "--version"]
    (hostile / "milepost.py").unlink()
    done = processes.subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("milepost"), done.stderr
    assert not (hostile.parent / "ran").exists()


@pytest.mark.parametrize("path", ["{home}:", "{home}::x", "{home}:.", "{home}:folder"])
def test_the_command_imports_nothing_from_relative_entries(
    path: str, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hostile / "folder").mkdir()
    for folder in (hostile, hostile / "folder"):
        for name in ("click", "subprocess", "contextlib", "tempfile"):
            (folder / f"{name}.py").write_text((hostile / "json.py").read_text())
    monkeypatch.setenv("PYTHONPATH", path.format(home=Path(processes.__file__).parents[2]))
    script = hostile.parent / "script.py"  # as installers write it
    script.write_text(
        "import sys\nfrom milepost.__main__ import run\nsys.argv[1:] = ['--version']\nsys.exit(run())\n"
    )
    done = processes.subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("milepost"), done.stderr
    assert not (hostile.parent / "ran").exists()


def test_a_deleted_current_directory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    leave_current_directory()
    assert run_python(["-c", "import milepost.errors"]).returncode == 0
