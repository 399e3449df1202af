from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from milepost.api.compare import compare
from milepost.comparison import Scale, Training
from milepost.comparison.design import Design, Model, Trial
from milepost.comparison.plan import Job
from milepost.comparison.run_folder.folder import RunFolder, environment
from milepost.comparison.workers.ray_cluster import (
    NodeOrder,
    NodeReply,
    _connected,
    _take,
    carry_out,
    pack,
    unpack,
)
from milepost.comparison.workers.runner import run_jobs
from milepost.comparison.workers.running import Running
from milepost.errors import DiskFull, FolderError, MissingExtra, OptionError
from milepost.tasks import CausalLM, Options


@pytest.fixture(scope="module")
def job() -> Job:
    data = "builtin:python-docs"
    sha256 = CausalLM.open(data, Options()).sha256
    size = Model(layers=1, dim=16, heads=2)
    return Job(
        Trial(
            Design("causal-lm", data, sha256, 8, model=size, training=Training(steps=4, batch=2)), "none", 0
        ),
        (8,),
    )


def order_of(job: Job, folder: Path, here: dict[str, Any] | None = None) -> NodeOrder:
    running = Running(workers=1, scale=Scale(ray=""))
    return NodeOrder((job,), folder, running, folder.parent, ".cluster-0", {}, here or environment("cpu"))


def lasting_files(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((folder / "trials").rglob("*")):
        if path.is_file() and path.name != "lock":
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
            if path.name == "trial.json":
                times = {"measured": None, "sha256": None}
                found[path.relative_to(folder).as_posix()] = json.loads(path.read_bytes()) | times
    return found


def test_a_node_without_the_folder_sends_back_what_a_run_here_leaves(job: Job, tmp_path: Path) -> None:
    here, far = tmp_path / "here", tmp_path / "far"
    assert run_jobs([job], here, Running(workers=1), lambda _: None) == {}
    answer = carry_out(order_of(job, far))
    assert not far.exists()  # it worked in a place of its own
    assert answer.failures == {}
    _take(answer, far)
    assert lasting_files(far) == lasting_files(here)
    assert len(lasting_files(far)) == 3
    past = RunFolder(far).journal.read().past(job.trial.key())
    assert past.finished


def test_a_node_of_another_environment_trains_nothing(job: Job, tmp_path: Path) -> None:
    answer = carry_out(order_of(job, tmp_path, environment("cpu") | {"torch": "1.0"}))
    assert "torch: 1.0 there" in answer.failures[job.trial]
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_shares_the_folder_works_in_it(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / ".cluster-0").touch()
    places: list[Path] = []

    def note(jobs: tuple[Job, ...], folder: Path, *_: Any) -> dict[Trial, str]:
        places.append(folder)
        return {job.trial: "no memory"}

    monkeypatch.setattr("milepost.comparison.workers.ray_cluster.run_jobs", note)
    answer = carry_out(order_of(job, tmp_path))
    assert places == [tmp_path]
    assert answer == NodeReply({job.trial: "no memory"})


def test_errors_that_end_a_sweep_come_back_as_what_they_are(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: Any, **__: Any) -> None:
        raise DiskFull("a file cannot be written", got="trial.json", fix="free some space")

    monkeypatch.setattr("milepost.comparison.workers.ray_cluster.run_jobs", fill)
    with pytest.raises(DiskFull, match=r"trial\.json"):
        _take(carry_out(order_of(job, tmp_path)), tmp_path)


def test_what_a_trial_has_travels_and_its_record_is_written_last(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RunFolder(tmp_path / "from").trial_path(job.trial)
    (place / "model").mkdir(parents=True)
    for name in (
        "trial.json",
        "weights.safetensors",
        "model/config.json",
        "lock",
        ".x.tmp",
        "checkpoint-1.a",
    ):
        (place / name).write_text(name)
    files = pack(tmp_path / "from", [job])
    assert {Path(name).name for name in files} == {"trial.json", "weights.safetensors", "config.json"}
    written: list[str] = []
    replace = Path.replace

    def note(self: Path, target: Path) -> Path:
        written.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", note)
    unpack(files, tmp_path / "to")
    assert written[-1] == "trial.json"
    assert pack(tmp_path / "to", [job]) == files


@pytest.mark.parametrize("name", ["../outside", "trials/../../outside", "/outside"])
def test_files_for_another_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="another folder"):
        unpack({name: b""}, tmp_path / "run")
    assert not (tmp_path / "outside").exists()


def test_without_ray_the_extra_is_named(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"milepost\[ray\]"):
        compare(**tiny, ray="", out=tmp_path / "run")


def test_ray_is_joined_from_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray gives the directory in which it is joined to its workers as the first place to import from
    places: list[list[Path]] = []
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **_: places.append(list(Path.cwd().iterdir())),
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 1, "GPU": 0}}],
        shutdown=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").touch()
    with _connected(Scale(ray="")):
        assert Path.cwd() == tmp_path
    assert places == [[]]


@pytest.mark.slow
def test_workers_of_ray_import_nothing_from_the_current_directory(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    for name in (*sys.stdlib_module_names, "pyarrow", "pydantic", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\n")
    words = "--steps 2 --batch 2 --seeds 1 --encodings none --layers 1 --dim 16 --heads 2 --train-length 8 --lengths 8"
    program = "from milepost.cli import main; main()"
    command = ["-P", "-c", program, "compare", "builtin:python-docs", "--ray", *words.split()]
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray's own cluster of several nodes on one machine; the head trains nothing."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    size = {"object_store_memory": 80_000_000}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **size})
    for _ in range(2):
        made.add_node(num_cpus=1, **size)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def lasting(result: dict[str, Any]) -> dict[str, Any]:
    content = json.loads(json.dumps(result))
    del content["environment"]
    for trial in content["trials"]:
        del trial["measured"]
    return content  # type: ignore[no-any-return]


@pytest.mark.slow
def test_devices_that_no_node_has_are_refused(cluster: Any, tmp_path: Path, tiny: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="0 GPU on the largest, 1 wanted"):
        compare(**tiny, ray=cluster.address, gpus_per_trial=1, out=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.crash
def test_a_cluster_that_loses_a_node_gives_the_result_of_one_machine(
    cluster: Any, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    wanted = tiny | {"seeds": 2, "steps": 1_000}
    local = compare(**wanted, out=tmp_path / "local")
    journal = tmp_path / "ray" / "journal.jsonl"
    doomed = cluster.list_all_nodes()[-1]

    def kill() -> None:
        while not (journal.exists() and '"checkpoint"' in journal.read_text()):
            time.sleep(0.1)
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    spread = compare(**wanted, ray=cluster.address, out=tmp_path / "ray", checkpoint_seconds=0.2)
    killer.join(60)
    assert lasting(spread) == lasting(local)
    events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    assert "resumed" in events
    assert events.count("finished") == 6
