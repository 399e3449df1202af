from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from milepost.cli import cli
from milepost.cli import main as run_main

PYTHON = [sys.executable, "-P"]
INSPECT = ["inspect", "table.npy", "--first-row", "0"]


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("table.npy", np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))


def run(command: str) -> subprocess.CompletedProcess[str]:
    """A shell command in which ``milepost`` is the program."""
    script = f"set -o pipefail; milepost() {{ '{sys.executable}' -P -m milepost \"$@\"; }}; {command}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@needs_dev_full
@pytest.mark.parametrize("words", [INSPECT, [*INSPECT, "--json"], ["inspect", "--help"]])
def test_full_standard_output_is_one_error(words: list[str]) -> None:
    done = run(f"milepost {' '.join(words)} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("[MP108]") and len(done.stderr.splitlines()) == 3


@needs_dev_full
def test_full_standard_error_leaves_the_exit_code() -> None:
    assert run("milepost inspect no/such/model 2> /dev/full").returncode == 3


@pytest.mark.parametrize("words", ["--help", "compare --help", "inspect table.npy --first-row 0 --json"])
def test_reader_that_leaves_is_no_error(words: str) -> None:
    done = run(f"milepost {words} | true")
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_streams_are_no_error() -> None:
    assert run("milepost inspect table.npy --first-row 0 >&- 2>&- <&-").returncode == 0


@pytest.mark.parametrize(
    "words", ["inspect table.npy", "extend model --to 80", "compare", "cost config.json"]
)
def test_deleted_current_directory_is_one_error(words: str) -> None:
    done = run(f"mkdir gone; cd gone; rmdir ../gone; milepost {words}")
    assert done.returncode == 2
    assert "current directory was deleted" in done.stderr and len(done.stderr.splitlines()) == 3


INTERRUPT = """
import importlib.abc, os, signal, sys
class Interrupts(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                {answer}
sys.meta_path.insert(0, Interrupts())
from milepost.__main__ import run
sys.argv = ["milepost", *{words!r}]
run()
"""


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        ("click", "raise"),
        ("milepost.cli.inspect", "raise"),
        ("numpy", "raise"),
        ("numpy", "raise ImportError('numpy cannot be loaded')"),  # what extension modules make of it
        ("numpy", "raise SystemError('interrupted')"),
    ],
)
def test_interrupt_during_imports_is_one_line_and_130(module: str, answer: str) -> None:
    code = INTERRUPT.format(module=module, answer=answer, words=INSPECT)
    done = subprocess.run([*PYTHON, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_error_that_is_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("milepost.cli.inspect.inspect", broken)
    with pytest.raises(ZeroDivisionError):
        run_main(INSPECT)


def test_error_of_the_system_names_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        Path("no/such/file").read_text()

    monkeypatch.setattr("milepost.cli.inspect.inspect", refused)
    monkeypatch.setattr("milepost.cli._forget", lambda stream: None)  # these are pytest's own streams
    with pytest.raises(SystemExit) as ended:
        run_main(INSPECT)
    assert ended.value.code == 2
    assert "No such file or directory: no/such/file" in capsys.readouterr().err


def test_length_of_zero_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.json").write_text(
        '{"model_type": "gpt2", "n_positions": 8, "n_embd": 8, "n_head": 2, "n_layer": 1}'
    )
    for length in ("0", "-3"):
        with pytest.raises(SystemExit) as ended:
            run_main(["cost", "config.json", "--max-len", length])
        assert ended.value.code == 2
        assert "[MP105]" in capsys.readouterr().err


def test_name_on_the_hub_as_model_of_a_comparison_is_refused_without_asking_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from milepost.errors import OptionError

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("transformers was asked")

    monkeypatch.setattr("milepost.models.building.user_model.AutoConfig.from_pretrained", forbidden)
    with pytest.raises(OptionError, match="is a folder") as refused:
        cli.main(["compare", "--model", "bert-base-uncased"], standalone_mode=False)
    assert "hf download bert-base-uncased" in refused.value.fix
    assert [one.name for one in Path().iterdir()] == ["table.npy"]


@pytest.mark.parametrize("size", [1e37, 1e200, 1e300])
def test_tables_of_huge_values_are_shown_and_drawn(size: float, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("huge.npy", np.random.default_rng(0).normal(size=(40, 8)) * size)
    with pytest.raises(SystemExit) as ended:
        run_main(["inspect", "huge.npy", "--first-row", "0", "--html", "page.html"])
    assert ended.value.code == 0
    assert Path("page.html").exists()
