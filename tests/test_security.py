"""Each promise in SECURITY.md names tests that exist; the one about networks is tested here."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import milepost

ROOT = Path(__file__).parents[1]


def promises(text: str) -> list[str]:
    """The points of the list of promises."""
    part = text.split("## What Milepost promises", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^- (.+)$", part, re.MULTILINE)


def without_a_test(text: str, root: Path = ROOT) -> list[str]:
    """Promises that name no test, or one that does not exist."""
    wrong = []
    for promise in promises(text):
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise)
        there = [
            (root / file).exists() and f"def {name}(" in (root / file).read_text("utf-8")
            for file, name in named
        ]
        if not named or not all(there):
            wrong.append(promise[:80])
    return wrong


def test_each_promise_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert len(promises(text)) > 8
    assert without_a_test(text) == []


@pytest.mark.parametrize(
    "promise",
    [
        "Nothing is unpickled.",
        "A (`tests/test_absent.py::test_a`)",
        "A (`tests/test_security.py::test_absent`)",
    ],
)
def test_a_promise_without_a_test_is_found(promise: str) -> None:
    text = f"## What Milepost promises\n\n- {promise}\n- B (`tests/test_security.py::promises`)\n\n## Next\n- no promise"
    assert without_a_test(text) == [promise[:80]]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from safetensors.numpy import save_file

    sizes = '"n_embd": 8, "n_head": 2, "n_layer": 1'
    (tmp_path / "config.json").write_text(f'{{"model_type": "gpt2", "n_positions": 40, {sizes}}}')
    rows = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    save_file({"wpe.weight": rows}, tmp_path / "model.safetensors")
    return tmp_path


CALLS: dict[str, Callable[[Path], object]] = {
    "inspect": milepost.inspect,
    "doctor": milepost.doctor,
    "cost": milepost.cost,
    "extend": lambda model: milepost.extend(model, to=80, out=model.with_name("out")),
    "compare": lambda model: milepost.compare("builtin:markov", out=model / "run", dry_run=True),
}


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("verb", CALLS)
def test_verbs_on_local_files_open_no_connection(verb: str, model: Path) -> None:
    CALLS[verb](model)


@pytest.mark.usefixtures("no_network")
def test_a_connection_would_be_seen() -> None:
    with pytest.raises(AssertionError, match="connection"):
        socket.create_connection(("localhost", 9))
