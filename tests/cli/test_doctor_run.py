from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import torch
from transformers import GPT2Config, GPT2Model, RobertaConfig, RobertaModel

from milepost.cli import main
from milepost.reporting import read_schema


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *words])
    shown = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


@pytest.fixture
def gpt2(tmp_path: Path) -> str:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=40, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=1
    )
    GPT2Model(config).save_pretrained(tmp_path / "gpt2")
    return str(tmp_path / "gpt2")


def test_run_adds_what_the_self_test_finds(gpt2: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(capsys, gpt2)[0] == 0
    code, out, _ = doctor(capsys, gpt2, "--run")
    assert code == 1
    assert "issue MP343 left pads" in " ".join(out.split())
    code, out, _ = doctor(capsys, gpt2, "--run", "--json")
    document = json.loads(out)
    jsonschema.Draft202012Validator(read_schema("doctor")).validate(document)
    assert [found["code"] for found in document["findings"]][-10:] == [f"MP34{digit}" for digit in range(10)]


def test_only_what_is_wrong_with_this_model_is_an_issue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    RobertaModel(RobertaConfig(vocab_size=40, max_position_embeddings=34, **sizes)).save_pretrained(tmp_path)
    code, out, _ = doctor(capsys, str(tmp_path), "--run", "--json")
    found = {one["code"]: one["status"] for one in json.loads(out)["findings"]}
    assert found["MP343"] == "passed"
    assert code == 1  # inputs_embeds count left pads: MP347
    assert [name for name in found if found[name] == "issue"] == ["MP347"]


def test_run_wants_a_folder(gpt2: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = doctor(capsys, f"{gpt2}/model.safetensors", "--run")
    assert code == 2
    assert "--run loads a folder" in err


def test_a_model_that_answers_nan_or_does_not_load_ends_with_1(
    gpt2: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = GPT2Model.from_pretrained(gpt2)
    torch.nn.init.constant_(model.ln_f.weight, float("nan"))
    model.save_pretrained(gpt2)
    code, out, _ = doctor(capsys, gpt2, "--run")
    assert code == 1
    assert "NaN" in out
    path = Path(gpt2) / "config.json"
    path.write_text(path.read_text().replace('"n_embd": 16', '"n_embd": 24'))
    code, out, _ = doctor(capsys, gpt2, "--run")
    assert code == 1
    assert "does not load" in " ".join(out.split())
