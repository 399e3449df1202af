from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.errors import MissingExtra, OptionError, UnknownName
from milepost.reporting import check_log, write_logs

FAKE_TRACKIO = """
import json
calls = []
class Run:
    def log(self, values, step): calls.append([step, values])
def init(**options):
    print("greetings")
    calls.append(options)
    return Run()
def finish():
    calls.append("end")
"""


@pytest.mark.parametrize("kind", ["tensorboard", "trackio"])
def test_without_the_extra_its_command_is_named_before_anything_runs(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingExtra, match=rf"milepost\[{kind}\]"):
        check_log(f"{kind}:here")


def test_a_log_of_no_kind_or_no_place_is_refused():
    with pytest.raises(UnknownName, match="did you mean tensorboard"):
        check_log("tensorbord:x")
    with pytest.raises(OptionError, match="needs a place"):
        check_log("tensorboard:")


def test_tensorboard_reads_back_what_was_written(result, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result["trials"][0]["encoding"] = "../../a/b"
    for _ in range(2):  # a second time replaces the first
        assert write_logs({"": result}, f"tensorboard:{tmp_path / 'log'}") == 17
    folders = [folder.name for folder in (tmp_path / "log").iterdir()]
    assert len(folders) == 17 and "_.._a_b-seed-0" in folders
    trial = result["trials"][8]
    read = EventAccumulator(str(tmp_path / "log" / f"{trial['encoding']}-seed-{trial['seed']}"))
    read.Reload()
    curve = [(event.step, pytest.approx(event.value)) for event in read.Scalars("training/loss")]
    assert curve == [tuple(point) for point in trial["training_loss"]]
    tested = {event.step: event.value for event in read.Scalars("test/loss")}
    assert tested[32] == pytest.approx(trial["metrics"]["32"]["loss"])
    assert set(read.Tags()["scalars"]) == {"training/loss", "test/loss", "test/perplexity"}


def test_trackio_is_told_every_point_and_standard_output_stays_clean(result, tmp_path, monkeypatch, capsys):
    """By a stand-in of the same calls; the next test asks the real one where it is installed."""
    (tmp_path / "trackio.py").write_text(FAKE_TRACKIO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    written = write_logs({"a": result, "b": result}, "trackio:mine")
    calls = sys.modules.pop("trackio").calls
    assert written == 34
    begun = [call for call in calls if isinstance(call, dict)]
    assert {call["project"] for call in begun} == {"mine"} and begun[0]["name"] == "a-learned-seed-0"
    assert calls.count("end") == 34
    assert [4, {"training/loss": result["trials"][0]["training_loss"][0][1]}] in calls
    shown = capsys.readouterr()
    assert shown.out == "" and "greetings" in shown.err


def test_the_real_trackio_keeps_the_runs(result, tmp_path):
    pytest.importorskip("trackio")
    (tmp_path / "result.json").write_text(json.dumps(result | {"trials": result["trials"][:2]}))
    program = (
        "import json, pathlib, sys\n"
        "from milepost.reporting import write_logs\n"
        "result = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
        "print(write_logs({'': result}, 'trackio:mine'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "result.json")],
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "kept")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2\n"
    assert any(Path(tmp_path / "kept").glob("mine*.db"))
