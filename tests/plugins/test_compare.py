"""Encodings and tasks of the user's own in ``compare``: real worker processes, and the command line."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import milepost
from milepost.api.compare import compare
from milepost.comparison import Model, Plan, Training
from milepost.comparison.design import Design, Trial
from milepost.comparison.plan import Job
from milepost.comparison.workers import ray_cluster
from milepost.comparison.workers.runner import run_jobs
from milepost.comparison.workers.running import Running
from milepost.errors import FolderError, PluginError, UnknownName
from milepost.plugins import read_code
from milepost.storage.processes import run_python
from milepost.tasks import CausalLM, Options

HERE = Path(__file__).parent
FILE = HERE / "my_encoding.py"
TINY: dict[str, Any] = {
    "encodings": "rotary,root-bias",
    "train_length": 8,
    "lengths": (8,),
    "seeds": 2,
    "workers": 1,
    "layers": 1,
    "dim": 16,
    "heads": 2,
    "steps": 4,
    "batch": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that the command line made with ``--import`` of a relative path."""
    place = tmp_path_factory.mktemp("own")
    shutil.copy(FILE, place)
    said = cli(place, "--import", "my_encoding.py", "--out", "run", "--keep-models", "--batch-seeds", "2")
    assert said == (0, ""), said
    return place / "run"


def cli(place: Path, *options: str) -> tuple[int, str]:
    """Exit code and standard error of a small comparison, started in a folder."""
    words = ["milepost", "compare", "--encodings", "rotary,root-bias", "--train-length", "8", "--lengths", "8",
             "--seeds", "2", "--steps", "4", "--batch", "2", "--layers", "1", "--dim", "16", "--heads", "2",
             "--workers", "1", "--quiet", *options]  # fmt: skip
    start = f"import os, sys; os.chdir({str(place)!r}); sys.argv = {words!r}; from milepost.__main__ import run; run()"
    done = run_python(["-c", start])
    return done.returncode, done.stderr


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text("utf-8"))  # type: ignore[no-any-return]


def test_a_file_is_compared_with_rotary_and_the_same_call_trains_nothing_more(folder: Path) -> None:
    result = read(folder)
    assert [trial["status"] for trial in result["trials"]] == ["done"] * 4
    assert list(result["spec"]["imports"]) == ["my_encoding.py"]
    assert f"--import {folder.parent / 'my_encoding.py'}" in result["spec"]["command"]
    plans: list[Plan] = []
    again = compare(**TINY, imports=FILE, out=folder, keep_models=True, batch_seeds=2, on_plan=plans.append)
    assert plans[0].jobs == ()
    assert again["trials"] == result["trials"]


def test_resuming_asks_for_the_file_again(folder: Path) -> None:
    with pytest.raises(UnknownName, match=r"got: root-bias\n.*--import FILE\.py, in Python imports="):
        compare(**TINY, out=folder)
    with pytest.raises(
        FolderError, match=r"imports\.my_encoding\.py: .* there, None here\n.*the same --import"
    ):
        compare(**TINY | {"encodings": "rotary"}, out=folder)


def test_a_changed_file_is_another_design(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "my_encoding.py"
    changed.write_text(FILE.read_text("utf-8") + "# another version\n")
    with pytest.raises(FolderError, match=r"imports\.my_encoding\.py: \w{64} there, \w{64} here"):
        compare(**TINY, imports=changed, out=folder)
    plans: list[Plan] = []
    compare(**TINY, imports=changed, out=folder.with_name("other"), dry_run=True, on_plan=plans.append)
    assert len(plans[0].jobs) == 4
    assert (
        plans[0].notes[-1]
        == f"my_encoding.py changed since the trials in {folder}: all trials are trained again"
    )


def test_a_dry_run_and_its_estimate_know_the_encoding(tmp_path: Path) -> None:
    result = compare(**TINY, imports=[FILE], out=tmp_path / "run", dry_run=True)
    assert set(result["estimate"]["by_encoding"]) == {"rotary", "root-bias"}
    assert not (tmp_path / "run").exists()


def test_a_kept_model_is_loaded_with_the_file_and_imports_nothing_without_it(folder: Path) -> None:
    from safetensors import safe_open

    kept = [
        path.parent
        for path in folder.glob("trials/*/model/config.json")
        if "root-bias" in path.read_text("utf-8")
    ]
    assert len(kept) == 2
    before = set(sys.modules)
    with pytest.raises(UnknownName, match=r"got: root-bias\n.*--import FILE\.py"):
        milepost.load(kept[0])
    assert not [name for name in set(sys.modules) - before if "encoding" in name]
    model = milepost.load(kept[0], imports=FILE)
    with safe_open(kept[0] / "model.safetensors", "pt") as stored:
        (name,) = [key for key in stored.keys() if key.endswith("slopes")]  # noqa: SIM118
        assert (model.state_dict()[name] == stored.get_tensor(name)).all()


def test_what_a_run_folder_names_is_never_imported(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that name files and modules, in each place where Milepost writes such names."""
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    for path in [run / "design.json", run / "result.json", *run.glob("trials/*/model/*.json")]:
        text = path.read_text("utf-8").replace("my_encoding.py", str(trap)).replace("root-bias", "trap")
        path.write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (kept, *_) = [
        path.parent for path in run.glob("trials/*/model/config.json") if "trap" in path.read_text("utf-8")
    ]
    for call in (
        lambda: compare(**TINY | {"encodings": "rotary"}, out=run),
        lambda: compare(**TINY | {"encodings": "rotary,trap"}, out=run),
        lambda: milepost.load(kept),
        lambda: milepost.report(run),
        lambda: milepost.inspect(kept),
        lambda: milepost.doctor(kept),
    ):
        try:
            call()
        except milepost.MilepostError as error:
            assert not isinstance(error, PluginError)
    assert "trap" not in sys.modules
    assert not (tmp_path / "ran").exists()


def test_such_an_import_would_be_seen(tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(UnknownName):
        compare(**TINY | {"encodings": "trap"}, imports=trap)
    assert (tmp_path / "ran").exists()


def test_a_class_of_a_notebook_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    space = {"__name__": "__main__"}
    exec(compile(FILE.read_text("utf-8"), "<cell>", "exec"), space)
    with pytest.raises(
        PluginError, match=r"neither in a file that was named.*\n.*root-bias.*\n.*imports='FILE\.py'"
    ):
        compare(**TINY, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """One trial of an encoding that the file ``own.py`` defines."""
    own = tmp_path / "own.py"
    shutil.copy(FILE, own)
    data = "builtin:python-docs"
    sha256 = CausalLM.open(data, Options()).sha256
    size, recipe = Model(layers=1, dim=16, heads=2), Training(steps=4, batch=2)
    design = Design("causal-lm", data, sha256, 8, model=size, training=recipe, imports=read_code(own))
    return Job(Trial(design, "root-bias", 0), (8,))


def test_a_file_that_changes_while_trials_run_fails_them(tmp_path: Path, job: Job) -> None:
    (tmp_path / "own.py").write_text("raise AssertionError\n")
    failures = run_jobs([job], tmp_path / "run", Running(workers=1), lambda _: None)
    assert "own.py: sha256" in failures[job.trial]


def test_a_file_travels_to_a_node_by_its_content(tmp_path: Path, job: Job) -> None:
    (tmp_path / "run").mkdir()
    order = ray_cluster._order([job], tmp_path / "run", Running(workers=1), "no-mark")
    (tmp_path / "own.py").write_text("raise AssertionError\n")  # of the caller; a node reads its own copy
    reply = ray_cluster.carry_out(order)
    assert (reply.failures, reply.stop) == ({}, None)
    assert [Path(name).parts[1] for name in reply.files if name.endswith("trial.json")] == [job.trial.key()]


def test_a_node_refuses_a_file_that_changed_on_its_way(tmp_path: Path, job: Job) -> None:
    (tmp_path / "run").mkdir()
    order = ray_cluster._order([job], tmp_path / "run", Running(workers=1), "no-mark")
    reply = ray_cluster.carry_out(replace(order, code=dict.fromkeys(order.code, b"raise AssertionError")))
    assert "own.py: sha256" in reply.failures[job.trial]


def test_a_file_is_compared_on_a_ray_cluster(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    code, said = cli(tmp_path, "--import", str(FILE), "--out", "run", "--ray", "--seeds", "1")
    assert code == 0, said
    assert [trial["status"] for trial in read(tmp_path / "run")["trials"]] == ["done"] * 2


def install_package(site: Path) -> None:
    """Install the example package as an installer would, without a network: its files and its metadata."""
    package = HERE / "package"
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    shutil.copytree(package / "src", site, dirs_exist_ok=True)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    with (info / "entry_points.txt").open("w") as file:
        for group, points in project["entry-points"].items():
            print(f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), sep="\n", file=file)


def test_an_installed_package_works_everywhere_without_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_package(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    code, said = cli(
        tmp_path,
        "--out",
        "run",
        "--task",
        "successor",
        "--encodings",
        "rotary,window(size=2)",
        "--keep-models",
    )
    assert (code, said) == (0, "")
    result = read(tmp_path / "run")
    assert {trial["encoding"] for trial in result["trials"]} == {"rotary", "window(size=2)"}
    assert {trial["status"] for trial in result["trials"]} == {"done"}
    assert list(result["spec"]["imports"]) == ["milepost_example"]
    look = "import sys; from milepost.extension.methods import build_method as b; b('tile'); " \
           "assert 'milepost_example' not in sys.modules; print(b('last-row').guarantee)"  # fmt: skip
    assert run_python(["-c", look]).stdout == "The old rows stay as they are.\n"
    # what a folder names is not a user's word: the package is imported where the user says so
    kept = next(path.parent for path in tmp_path.rglob("config.json") if "window(size=2)" in path.read_text())
    look = f"""import sys, milepost
from milepost.errors import PluginError
try:
    milepost.load({str(kept)!r})
except PluginError as error:
    print("milepost_example" in sys.modules, error.fix)
print(milepost.load({str(kept)!r}, imports="milepost_example.window").config.milepost["encoding"])
"""
    assert run_python(["-c", look]).stdout.splitlines() == [
        "False say that you want it: --import milepost_example.window, in Python imports='milepost_example.window'",
        "window(size=2)",
    ]
