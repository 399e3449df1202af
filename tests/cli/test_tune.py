"""``milepost tune`` and ``milepost patch``, with the library's work played: exit codes, text and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milepost.cli import main
from milepost.errors import PatchRefused

GAIN = {
    "metric": "loss", "better": "lower", "positions": [512, 2048], "documents": 9, "before": 3.0, "after": 2.5,
    "difference": -0.5, "low": -0.75, "high": -0.25, "p": 0.001, "p_adjusted": 0.001, "verdict": "better",
}  # fmt: skip
RESULT: dict[str, Any] = {
    "source": "my\x1b[31m-bert", "data": "texts", "output": "run", "written": True, "helped": True,
    "design": {"objective": "masked-lm", "first_position": 512, "length": 2048, "window": 256, "lr": 1e-3, "batch": 4},
    "documents": {"train": 29, "stop": 4, "report": 9},
    "training": {"steps": 40, "best_step": 30, "ended": "early", "history": [{"step": 0, "loss": 3.0}]},
    "gains": [GAIN, {**GAIN, "positions": [0, 512], "low": None, "high": None, "verdict": "undecided"}],
    "saved": ["patch.safetensors"], "checks": [],
}  # fmt: skip


FAILED = {
    "steps": 150, "best_step": 0, "ended": "early", "last_lr": 1e-3 / 64,
    "history": [{"step": 50 * index, "loss": 3.0 + index} for index in range(4)],
}  # fmt: skip


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Play ``tune``; returns what it was asked."""

    def play(**changes: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        def tune(
            model: str, data: str, *, on_progress: Callable[..., None], **options: Any
        ) -> dict[str, Any]:
            asked.update(options, model=model, data=data)
            on_progress("train", 40, 40, 2.5)
            on_progress("measure", 9, 9, None)
            return RESULT | changes

        monkeypatch.setattr("milepost.cli.tune.tune", tune)
        return asked

    return play


def test_a_gain_is_said_with_its_interval_and_ends_with_0(
    answer: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = answer()
    assert run("tune", "m", "d", "--rows", "all", "--steps", "7", "--no-header", "--save", "patch") == 0
    out, error = capsys.readouterr()
    assert "Tuning helped: loss at positions 512–2,047 went from 3.0000 to 2.5000" in out
    assert "-0.7500 to -0.2500" in out
    assert "not shown" in out
    assert "…" not in out  # nothing is cut at 80 columns
    assert "loss, nats a token" in out
    assert "40 steps (stopped early), best after 30" in out
    assert "written: run/patch.safetensors" in out
    assert "\x1b" not in out
    assert "train, held-out loss 2.5000 · 40 of 40" in error
    assert [asked[name] for name in ("rows", "header", "steps", "save")] == ["all", False, 7, "patch"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"helped": False, "gains": [{**GAIN, "verdict": "undecided"}]}, "Tuning is not shown to help"),
        ({"helped": False, "gains": [{**GAIN, "verdict": "worse"}]}, "Tuning did harm"),
        (
            {"helped": False, "training": {**RESULT["training"], "best_step": 0}, "saved": []},
            "nothing was saved",
        ),
        (
            {"helped": False, "training": FAILED, "saved": []},
            "0.001 was tried first, then a quarter each time, down to 6.3e-05. Change, in this order: more windows per step, for less "
            "noise (--batch 16); a rate below 6.3e-05 (--lr)",
        ),
        ({"helped": False}, "longer windows (--window, now 256)"),
    ],
)
def test_no_gain_ends_with_1_and_says_so(
    changes: dict[str, Any],
    sentence: str,
    answer: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(**changes)
    assert run("tune", "m", "d") == 1
    assert sentence in " ".join(capsys.readouterr().out.split())


def test_json_is_one_document_and_a_dry_run_ends_with_0(
    answer: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    answer()
    assert run("tune", "m", "d", "--json", "--quiet") == 0
    out, error = capsys.readouterr()
    assert json.loads(out) == RESULT
    assert error == ""
    answer(written=False)
    assert run("tune", "m", "d", "--dry-run") == 0
    assert "Would train the position table; nothing was written" in capsys.readouterr().out


def test_a_patch_is_put_on_and_one_for_another_model_ends_with_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check = {"name": "frozen_rows", "status": "passed", "detail": "512 rows are the same as before"}
    document = {
        "source": "m",
        "output": "n",
        "first_position": 512,
        "from_length": 512,
        "to_length": 2048,
        "checks": [check],
    }
    monkeypatch.setattr("milepost.cli.patch.patch", lambda *_, **__: document)
    assert run("patch", "m", "p.safetensors") == 0
    out = capsys.readouterr().out
    assert "Put the rows of positions 512–2,047 on the table; extended from 512 positions" in out
    assert "passed frozen rows: 512 rows" in out
    assert run("patch", "m", "p.safetensors", "--json") == 0
    assert json.loads(capsys.readouterr().out) == document

    def refuse(*_: object, **__: object) -> None:
        raise PatchRefused("the patch is for another model", got="x", fix="y")

    monkeypatch.setattr("milepost.cli.patch.patch", refuse)
    assert run("patch", "m", "p.safetensors") == 3
    assert "[MP125]" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("tune", "./no/such/model", "d"), ("patch", "./no/such/model", "p.txt")])
def test_what_does_not_exist_ends_with_3(words: tuple[str, ...]) -> None:
    assert run(*words) == 3
