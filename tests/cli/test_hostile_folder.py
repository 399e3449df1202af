"""Every verb, run from a folder full of modules that have the names of the standard library and of dependencies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from milepost.cli import VERBS

SMALL = "--steps 2 --batch 2 --layers 1 --dim 8 --heads 2 --train-length 8 --lengths 8 --encodings none,alibi --quiet"
MARKS = "modules-that-ran"
CALLS = {
    "inspect": ["inspect model"],
    "doctor": ["doctor model", "doctor model --run"],
    "cost": ["cost model"],
    "extend": ["extend model --to 24 --out longer --verify model --quiet"],
    "compare": [
        f"compare builtin:python-docs --seeds 2 --batch-seeds 2 {SMALL}",
        f"compare texts --seeds 1 --processes-per-trial 2 --workers 1 {SMALL}",
    ],
    "report": [f"compare builtin:python-docs --seeds 1 --out run {SMALL}", "report run --html page.html"],
    "tune": ["extend model --to 24 --method tile --out longer --quiet", "tune longer texts --steps 2 --save patch --out tuned"],
    "patch": [
        "extend model --to 24 --method tile --out longer --quiet",
        "tune longer texts --steps 40 --lr 0.01 --save patch --out tuned",
        "patch model tuned/patch.safetensors --out patched",
    ],
}  # fmt: skip
CHOOSE = ["extend model --to 24 --choose texts --documents 6 --quiet"]


def hostile_names() -> set[str]:
    """Names that a program might import, Milepost's own left out."""
    installed = {name for name in packages_distributions() if name.isidentifier()}
    return {*sys.stdlib_module_names, *installed, "sitecustomize", "usercustomize"} - {"milepost"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model, texts, and hostile modules, each of which leaves its name when it runs."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for name in hostile_names():
        (folder / f"{name}.py").write_text(f"open({str(folder / MARKS)!r}, 'a').write('{name} ')\n")
    write_model(folder / "model")
    (folder / "texts").mkdir()
    random = np.random.default_rng(0)
    for index in range(24):
        words = (f"w{word}" for word in random.integers(20, size=40))
        (folder / "texts" / f"{index}.txt").write_text(" ".join(words))
    return folder


def write_model(folder: Path) -> None:
    """A GPT-2 of 16 positions with a tokenizer of words."""
    folder.mkdir()
    sizes = {"n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 24}
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config | sizes))
    shapes = {"wte.weight": (24, 8), "wpe.weight": (16, 8), "ln_f.weight": (8,), "ln_f.bias": (8,)}
    block = {"ln_1.weight": (8,), "ln_1.bias": (8,), "attn.c_attn.weight": (8, 24), "attn.c_attn.bias": (24,),
             "attn.c_proj.weight": (8, 8), "attn.c_proj.bias": (8,), "ln_2.weight": (8,), "ln_2.bias": (8,),
             "mlp.c_fc.weight": (8, 32), "mlp.c_fc.bias": (32,), "mlp.c_proj.weight": (32, 8), "mlp.c_proj.bias": (8,)}  # fmt: skip
    shapes |= {f"h.0.{name}": shape for name, shape in block.items()}
    random = np.random.default_rng(0)
    tensors = {
        f"transformer.{name}": random.normal(size=shape).astype("float32") for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    vocabulary = {word: index for index, word in enumerate(["<s>", "<pad>", *(f"w{at}" for at in range(20))])}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<s>"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 16, "pad_token": "<pad>"}
        )
    )


@pytest.fixture
def milepost(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command as its console script does: from a folder of programs, which is not the current one."""
    script = tmp_path / "bin" / "milepost"
    script.parent.mkdir()
    script.write_text("import sys\nfrom milepost.cli import main\nsys.exit(main())\n")

    def run(words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), *words.split()]
        environment = os.environ | variables
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)

    return run


def ran(place: Path) -> str:
    found = place / MARKS
    return found.read_text() if found.exists() else ""


def check(calls: list[str], place: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for words in calls:
        done = run(words, place)
        assert ran(place) == "", words
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 1), done.stderr


@pytest.mark.parametrize("verb", ["inspect", "cost", "extend"])
def test_nothing_in_the_current_folder_runs(verb: str, place: Path, milepost: Callable[..., Any]) -> None:
    check(CALLS[verb], place, milepost)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["doctor", "compare", "report", "tune", "patch"])
def test_nothing_in_the_current_folder_runs_by_the_other_verbs(
    verb: str, place: Path, milepost: Callable[..., Any]
) -> None:
    check(CALLS[verb], place, milepost)


@pytest.mark.slow
def test_nothing_in_the_current_folder_runs_when_a_method_is_chosen(
    place: Path, milepost: Callable[..., Any]
) -> None:
    check(CHOOSE, place, milepost)


def test_every_verb_is_here() -> None:
    assert CALLS.keys() == VERBS.keys()


def test_python_m_in_such_a_folder_is_seen(place: Path) -> None:
    command = [sys.executable, "-m", "milepost", "--version"]
    subprocess.run(command, capture_output=True, cwd=place, check=False)
    assert ran(place)  # Python itself imports from there before any line of ours: SECURITY.md says so
