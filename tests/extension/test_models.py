"""Models of many families, extended and held against what transformers makes of them."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parent))  # the models are a module beside the tests
from tiny_models import IMAGES, TEXT, write

from milepost.api.extend import extend
from milepost.extension.methods import build_method, registered_methods
from milepost.extension.reload_worker import measure
from milepost.extension.target import rule_types
from milepost.tables import read


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def model_of(models: Path, kind: str, *, shards: bool = False) -> Path:
    folder = models / (f"{kind}-shards" if shards else kind)
    return folder if folder.exists() else write(kind, folder, shards=shards)


def statuses(checks: list[dict[str, Any]]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in checks}


def proved(old: Path, new: Path, result: dict[str, Any], role: str) -> dict[str, str]:
    """The same proofs as ``--verify model``, in this process."""
    task = {
        "old_folder": str(old), "new_folder": str(new), "role": role, "same_outputs": result["keeps_old_rows"],
        "old": result["from_length"], "new": result["to_length"],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return statuses(measure(task))


@pytest.mark.parametrize("kind", TEXT)
def test_text_models_of_every_family_load_and_answer_as_before(
    kind: str, models: Path, tmp_path: Path
) -> None:
    before, to, tensor = TEXT[kind]
    old, new = model_of(models, kind), tmp_path / "new"
    result = extend(old, to=to, out=new, tensor=tensor)
    assert (result["from_length"], result["to_length"]) == (before, to)
    assert "failed" not in statuses(result["checks"]).values()
    assert statuses(result["checks"])["doctor"] == "passed"
    grown = read(new)
    assert {table.usable_length for table in grown.tables if table.length_field == _field(new, tensor)} >= {
        to
    }
    role = next(table.role for table in grown.tables if tensor in (None, table.key))
    if kind == "whisper":
        role = "decoder"
    seen = proved(old, new, result, role)
    assert seen["reload"] == "passed"
    assert seen == {"reload": "passed", "old_outputs": "passed", "forward": "passed"}


def test_nystromformer_reads_the_new_length(tmp_path: Path) -> None:
    """Where it has fewer landmarks than tokens, its class reads inputs of one length alone: then of the new one."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.NystromformerConfig(
        vocab_size=30, max_position_embeddings=32, segment_means_seq_len=32, num_landmarks=8, **sizes
    )
    old, new = tmp_path / "old", tmp_path / "new"
    transformers.NystromformerModel(config).save_pretrained(old)
    result = extend(old, to=64, out=new, verify="model")
    assert "config.json" in {c["file"] for c in result["changes"] if c["name"] == "segment_means_seq_len"}
    assert (
        statuses(result["checks"]).items() >= {"forward": "passed", "old_outputs": "not_applicable"}.items()
    )
    model = transformers.AutoModel.from_pretrained(new).eval()
    assert model(input_ids=torch.ones(1, 64, dtype=torch.long)).last_hidden_state.isfinite().all()
    loaded = transformers.AutoModel.from_pretrained(old).eval()
    extend(loaded, to=64)
    ids = torch.arange(64)[None] % 30
    assert torch.equal(loaded(input_ids=ids).last_hidden_state, model(input_ids=ids).last_hidden_state)


def _field(folder: Path, tensor: str | None) -> str | None:
    tables = [table for table in read(folder).tables if table.kind == "learned"]
    return next(table.length_field for table in tables if tensor in (None, table.key))


@pytest.mark.parametrize("kind", IMAGES)
def test_image_models_run_at_their_new_size(kind: str, models: Path, tmp_path: Path) -> None:
    old, new = model_of(models, kind), tmp_path / "new"
    to = "64x96" if kind in ("vit", "yolos") else 64
    result = extend(old, to=to, out=new)
    seen = proved(old, new, result, "vision")
    assert seen == {"reload": "passed", "old_outputs": "not_applicable", "forward": "passed"}
    prefix = read(old).tables[0].prefix_rows
    np.testing.assert_array_equal(read(new).tables[0].rows[:prefix], read(old).tables[0].rows[:prefix])


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "opt", "bart"])
def test_of_three_shards_only_those_with_a_table_are_written_anew(
    kind: str, models: Path, tmp_path: Path
) -> None:
    old, new = model_of(models, kind, shards=True), tmp_path / "new"
    shards = sorted(path.name for path in old.glob("*.safetensors"))
    assert len(shards) >= 3
    result = extend(old, to=50, out=new)
    holders = {change["file"] for change in result["changes"] if change["kind"] == "table"}
    assert holders
    for name in shards:
        assert ((old / name).read_bytes() == (new / name).read_bytes()) == (name not in holders)
    sizes = [
        json.loads((folder / "model.safetensors.index.json").read_text())["metadata"]["total_size"]
        for folder in (old, new)
    ]
    tensors = read(new).tensors.values()
    assert sizes[1] == sum(entry.end - entry.begin for entry in tensors) > sizes[0]
    assert proved(old, new, result, "text") == {
        "reload": "passed",
        "old_outputs": "passed",
        "forward": "passed",
    }


# of methods with options also a value that is not the default; the models have fewer rows than keep needs
SPECS = {
    "hierarchical": ["hierarchical(alpha=0.3)"],
    "keep": ["keep(first=4)"],
    "linear": ["linear", "linear(ends=open)"],
}
METHODS = [
    spec
    for name, cls in registered_methods().items()
    if cls.kind == "text" and not cls.position_rule
    for spec in SPECS.get(name, [name])
]


def length_for(method: str, to: int) -> int:
    return 12 if build_method(method).shrinks else to


@pytest.mark.parametrize("kind", ["roberta", "opt"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_what_its_guarantee_says(
    kind: str, method: str, models: Path, tmp_path: Path
) -> None:
    old, new = model_of(models, kind), tmp_path / "new"
    to = length_for(method, 37)
    result = extend(old, to=to, method=method, out=new)
    before, after = read(old).table(), read(new).table()
    kept = min(before.usable_length, to)
    same = np.array_equal(after.usable_rows[:kept], before.usable_rows[:kept])
    assert same == result["keeps_old_rows"]
    np.testing.assert_array_equal(after.rows[: before.first_row], before.rows[: before.first_row])
    seen = proved(old, new, result, "text")
    assert seen["reload"] == seen["forward"] == "passed"
    assert seen["old_outputs"] == ("passed" if same else "not_applicable")


@pytest.mark.slow
@pytest.mark.parametrize("shards", [False, True], ids=["one file", "three shards"])
@pytest.mark.parametrize("kind", TEXT)
def test_all_proofs_hold_for_every_method_on_every_family(
    kind: str, shards: bool, models: Path, tmp_path: Path
) -> None:
    old = model_of(models, kind, shards=shards)
    assert len(list(old.glob("*.safetensors"))) >= (3 if shards else 1)
    _, to, tensor = TEXT[kind]
    rules = ["group", "recur"] if kind in rule_types() else []
    role = next(table.role for table in read(old).tables if tensor in (None, table.key))
    role = "decoder" if kind == "whisper" else role
    for method in [*METHODS, *rules]:
        new = tmp_path / method
        result = extend(old, to=length_for(method, to), method=method, out=new, tensor=tensor)
        assert set(statuses(result["checks"]).values()) <= {"passed", "not_applicable"}, method
        seen = proved(old, new, result, role)
        assert seen.pop("reload") == "passed", method
        same = "passed" if result["keeps_old_rows"] else "not_applicable"
        assert seen == {"old_outputs": same, "forward": "passed"}, method


def test_the_comparison_of_outputs_can_fail(models: Path, tmp_path: Path) -> None:
    old, new = model_of(models, "bert"), tmp_path / "new"
    result = extend(old, to=50, method="linear", out=new)
    assert proved(old, new, {**result, "keeps_old_rows": True}, "text")["old_outputs"] == "failed"


def test_the_comparison_of_keys_can_fail(models: Path, tmp_path: Path) -> None:
    old = model_of(models, "bert")
    other = write("bert", tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    result = {"keeps_old_rows": True, "from_length": 20, "to_length": 20}
    assert proved(old, other, result, "text") == {"reload": "failed"}


def test_one_tower_of_clip_grows_and_the_other_stays(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = CLIPConfig(
        text_config=small | {"vocab_size": 40, "max_position_embeddings": 20, "eos_token_id": 2},
        vision_config=small | {"image_size": 32, "patch_size": 8}, projection_dim=8,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(tmp_path / "clip")
    text = extend(tmp_path / "clip", to=50, method="hierarchical", out=tmp_path / "text")
    assert [change["name"] for change in text["changes"][:2]] == [
        "text_model.embeddings.position_embedding.weight", "text_config.max_position_embeddings",
    ]  # fmt: skip
    assert proved(tmp_path / "clip", tmp_path / "text", text, "text")["old_outputs"] == "passed"
    image = extend(tmp_path / "clip", to="64x64", out=tmp_path / "image")
    assert read(tmp_path / "image").config["vision_config"]["image_size"] == 64
    assert proved(tmp_path / "clip", tmp_path / "image", image, "vision")["forward"] == "passed"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hierarchical", "group"])
def test_verify_model_proves_in_a_process_of_its_own(method: str, models: Path, tmp_path: Path) -> None:
    result = extend(model_of(models, "bert"), to=50, method=method, out=tmp_path / "new", verify="model")
    assert statuses(result["checks"])["old_outputs"] == "passed"
    assert "torch" in sys.modules  # of this test, not of extend
