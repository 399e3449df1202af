"""Errors and kills injected into system calls: the output is wholly there or not at all, the source as it was."""

from __future__ import annotations

import collections
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from milepost.storage.staging import sweep

SCRIPT = """
import sys
from milepost.extension.apply import apply_plan
from milepost.extension.plan import plan_extension
from milepost.errors import MilepostError
plan = plan_extension(sys.argv[1], to=64, out=sys.argv[2])
try:
    apply_plan(plan)
except MilepostError as error:
    print(error)
    sys.exit(error.exit_code)
"""
CALLS = ("write", "copy_file_range", "fsync", "rename", "mkdir")
INJECTIONS = {"ENOSPC": "error=ENOSPC", "EIO": "error=EIO", "KILL": "signal=KILL"}


def trace(
    source: Path, output: Path, *options: str, log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    calls = "trace=" + ",".join(CALLS)
    command = ["strace", "-f", "-o", str(log or "/dev/null"), "-e", calls, *options]
    # no thread of numpy's, no compiled modules written: the calls that are counted are ours
    environment = {"PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, str(source), str(output)], capture_output=True, text=True, env=environment, check=False
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two shards in the layout of sentence-transformers."""
    folder = tmp_path_factory.mktemp("faults") / "old"
    (folder / "1_Pooling").mkdir(parents=True)
    draw = np.random.default_rng(0)
    table = "embeddings.position_embeddings.weight"
    first = {
        "a": draw.normal(size=(300, 9)),
        table: draw.normal(size=(32, 8)),
        "z": draw.normal(size=(700, 5)),
    }
    shards = {
        "model-00001-of-00002.safetensors": first,
        "model-00002-of-00002.safetensors": {"rest": draw.normal(size=(90, 90))},
    }
    weight_map = {key: name for name, tensors in shards.items() for key in tensors}
    for name, tensors in shards.items():
        save_file({key: value.astype(np.float32) for key, value in tensors.items()}, folder / name)
    documents = {
        "config.json": {"model_type": "bert", "max_position_embeddings": 32},
        "tokenizer_config.json": {"model_max_length": 32},
        "1_Pooling/config.json": {"word_embedding_dimension": 8},
        "model.safetensors.index.json": {"metadata": {"total_size": 1}, "weight_map": weight_map},
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def counted(model: Path) -> tuple[dict[str, int], dict[str, bytes]]:
    """How often each call is made, and the output of a run without faults."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    log, output = model.parent / "log", model.parent / "new"
    done = trace(model, output, log=log)
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    found = collections.Counter(re.findall(rf"^\d+ +({'|'.join(CALLS)})\(", log.read_text(), re.MULTILINE))
    made = contents(output)
    shutil.rmtree(output)
    return dict(found), made


def inject(model: Path, expected: dict[str, bytes], call: str, fault: str, when: int) -> str:
    """One run with one fault; what became of the output."""
    output = model.parent / "new"
    before = contents(model)
    done = trace(model, output, "-e", f"inject={call}:{INJECTIONS[fault]}:when={when}")
    place = f"{fault} at {call} {when}"
    assert contents(model) == before, place
    if output.exists():
        assert contents(output) == expected, place
    if fault == "KILL":
        assert done.returncode != 0, place
        sweep(model.parent)
    elif done.returncode:
        assert ("[MP108]" if fault == "ENOSPC" else "[MP107]") in done.stdout, (
            place,
            done.stdout,
            done.stderr,
        )
    assert {path.name for path in model.parent.iterdir()} <= {"old", "new", "log"}, place
    there = output.exists()
    assert there or done.returncode, place
    shutil.rmtree(output, ignore_errors=True)
    return "new" if there else "none"


@pytest.mark.crash
@pytest.mark.parametrize(
    ("call", "fault"),
    [("copy_file_range", "ENOSPC"), ("fsync", "EIO"), ("rename", "KILL"), ("write", "KILL")],
)
def test_a_fault_leaves_nothing_behind(
    call: str, fault: str, model: Path, counted: tuple[dict[str, int], dict[str, bytes]]
) -> None:
    assert inject(model, counted[1], call, fault, 1) == "none"


@pytest.mark.crash
@pytest.mark.slow
def test_faults_at_every_write_copy_flush_and_rename(
    model: Path, counted: tuple[dict[str, int], dict[str, bytes]]
) -> None:
    counts, expected = counted
    assert set(counts) == set(CALLS)
    ends = collections.Counter(
        inject(model, expected, call, fault, when)
        for call, count in counts.items()
        for fault in INJECTIONS
        for when in range(1, count + 1)
    )
    assert sum(ends.values()) >= 60
    assert ends["new"] >= 1  # a fault after the rename
    assert ends["none"] >= 50


@pytest.mark.crash
@pytest.mark.parametrize("call", ["copy_file_range", "copy_file_range,sendfile"])
def test_where_the_kernel_cannot_copy_the_bytes_are_the_same(
    call: str, model: Path, counted: tuple[dict[str, int], dict[str, bytes]]
) -> None:
    output = model.parent / "new"
    done = trace(model, output, "-e", f"inject={call}:error=EINVAL")
    assert done.returncode == 0, done.stdout
    assert contents(output) == counted[1]
    shutil.rmtree(output)


def test_a_run_that_was_killed_is_swept_by_the_next(model: Path, tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    left = tmp_path / f".new.{dead.stdout.strip()}.0123abcd.milepost-tmp"
    (left / "inner").mkdir(parents=True)
    (left / "inner" / "file").write_text("x")
    alive = tmp_path / ".new.1.0123abcd.milepost-tmp"
    alive.mkdir()
    (tmp_path / ".note.milepost-tmp").mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, ".note.milepost-tmp"]
