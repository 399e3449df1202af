"""Folders: what comes back, what stock classes do with them, and what a hostile one can do."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, GPT2LMHeadModel

import milepost
from milepost.errors import SwapRefused, UnknownFamily, UnsafeFile
from milepost.models import load, swap


@pytest.fixture
def saved(make, tmp_path):
    model = swap(make(), "rotary(theta=500)")
    model.save_pretrained(tmp_path)
    return model, tmp_path


def same(first, second):
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(
        torch.equal(one[key], two[key]) and one[key].dtype == two[key].dtype for key in one
    )


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_folder_comes_back_bit_for_bit(make, tokens, tmp_path, encoding, dtype):
    model = swap(make(), encoding).to(dtype)
    for parameter in model.base_model.milepost.parameters():
        parameter.data.normal_()
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again) is type(model) and same(model, again) and not again.training
    inputs = {"attention_mask": (torch.arange(12) >= torch.tensor([[0], [3], [7]])).long()}
    assert torch.equal(model(tokens, **inputs).logits, again(tokens, **inputs).logits)
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    again.save_pretrained(tmp_path / "again")
    assert same(model, load(tmp_path / "again"))


def test_shards_come_back(make, tmp_path):
    model = swap(make(), "t5")
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert same(model, load(tmp_path))


def test_the_record_names_the_canonical_spec_and_the_version(make, tmp_path):
    swap(make(), "rotary( theta = 5e2 )", positions="stock").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["milepost"]["encoding"] == "rotary(theta=500)"
    assert config["milepost"]["version"] == milepost.__version__
    assert config["milepost"]["positions"] == load(tmp_path).config.milepost["positions"] == "stock"
    assert config["model_type"] in ("milepost_gpt2", "milepost_bert")


def test_loading_leaves_the_random_state_alone(saved):
    before = torch.get_rng_state()
    load(saved[1])
    assert torch.equal(before, torch.get_rng_state())


def test_options_of_load(saved, tokens):
    model, folder = saved
    other = load(folder, attention="eager", dtype=torch.bfloat16)
    assert other.config._attn_implementation == "milepost_eager" and other.dtype == torch.bfloat16
    assert load(folder, model_class=type(model)).config.milepost == model.config.milepost


def test_generation_settings_come_back(make_gpt2, tmp_path):
    model = swap(make_gpt2(), "alibi")
    model.generation_config.max_new_tokens = 7
    model.save_pretrained(tmp_path)
    assert load(tmp_path).generation_config.max_new_tokens == 7


@pytest.mark.parametrize("encoding", ["learned", "rotary", "none"])
def test_copies_of_the_config_say_the_same(make, encoding):
    config = swap(make(), encoding).config
    again = pickle.loads(pickle.dumps(config))  # noqa: S301
    assert type(again) is type(config) and again.to_json_string() == config.to_json_string()


# ---- stock classes on such a folder, each in a process that never saw Milepost


ATTEMPTS = {
    "auto": "transformers.AutoModelForCausalLM.from_pretrained(folder)",
    "auto eager": "transformers.AutoModel.from_pretrained(folder, attn_implementation='eager')",
    "direct": "transformers.GPT2LMHeadModel.from_pretrained(folder)",
    "direct eager": "transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation='eager')",
    "base": "transformers.GPT2Model.from_pretrained(folder, attn_implementation='sdpa')",
    "config": "transformers.GPT2LMHeadModel(transformers.GPT2Config.from_pretrained(folder))",
    # last: from here on Milepost's attention is known in this process
    "registered": "register(); transformers.GPT2LMHeadModel.from_pretrained(folder)",
}
SCRIPT = """
import json, sys, transformers
def register():
    from milepost.models.attention import register_attention
    register_attention()
attempts, folders = json.loads(sys.argv[1]), sys.argv[2:]
outcome = {}
for name, attempt in attempts.items():
    for folder in folders:
        try:
            exec(attempt)
            outcome[f"{name} {folder}"] = "went through"
        except Exception as error:
            outcome[f"{name} {folder}"] = f"{type(error).__name__}: {error}"
print(json.dumps(outcome))
"""


def test_stock_classes_refuse_our_folders_and_open_their_own(make_gpt2, tmp_path):
    make_gpt2().save_pretrained(tmp_path / "stock")
    ours = ["learned", "rotary", "none"]
    for encoding in ours:
        swap(make_gpt2(), encoding).save_pretrained(tmp_path / encoding)
    folders = [str(tmp_path / name) for name in ("stock", *ours)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, json.dumps(ATTEMPTS), *folders],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert len(outcome) == len(ATTEMPTS) * 4
    for attempt, what in outcome.items():
        assert (what == "went through") == attempt.endswith("stock"), (attempt, what)
    assert "does not recognize" in outcome[f"auto {folders[1]}"]
    assert "milepost_sdpa" in outcome[f"direct {folders[1]}"]
    assert "ignore_mismatched_sizes" in outcome[f"direct eager {folders[1]}"]


def test_our_attention_raises_in_a_model_without_an_encoding(make_gpt2, tokens):
    swap(make_gpt2(), "rotary")  # registers
    stock = make_gpt2()
    stock.set_attn_implementation("milepost_sdpa")
    with pytest.raises(SwapRefused, match="carries no encoding"):
        stock(tokens)


# ---- folders that are not what they say


def test_a_stock_folder_is_refused(make, tmp_path):
    make().save_pretrained(tmp_path)
    with pytest.raises(SwapRefused, match="no swapped model"):
        load(tmp_path)


def test_an_unknown_family_is_refused(saved):
    edit(saved[1], model_type="milepost_brand_new")
    with pytest.raises(UnknownFamily):
        load(saved[1])


@pytest.mark.parametrize("name", ["os", "PreTrainedModel.__init__", "logger", "nn", 3, "BertTokenizer"])
def test_only_model_classes_of_the_family_are_found(saved, name):
    edit(saved[1], architectures=[name])
    with pytest.raises(SwapRefused, match="names no model class"):
        load(saved[1])


@pytest.mark.parametrize(
    "change",
    [
        {"encoding": None},
        {"encoding": 3},
        {"positions": "guess"},
        {"parts": []},
        {"parts": [{"max_len": "32", "embedding_rms": 0.1}]},
        {"parts": [{"max_len": 32, "embedding_rms": "big"}]},
        {"parts": [{"max_len": 32, "embedding_rms": 0.1}] * 2},
    ],
)
def test_a_broken_record_is_refused(saved, change):
    model, folder = saved
    edit(folder, milepost={**model.config.milepost, **change})
    with pytest.raises(UnsafeFile, match="record of the swap"):
        load(folder)


def test_code_named_by_the_folder_is_not_run(saved):
    _, folder = saved
    (folder / "modeling_evil.py").write_text("raise SystemExit('evil')")
    edit(folder, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"})
    load(folder)


def test_pickled_weights_are_not_read(saved):
    model, folder = saved
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsafeFile, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize("what", ["missing", "unexpected", "shape", "truncated"])
def test_weights_that_do_not_fit_are_refused(saved, what):
    _, folder = saved
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.endswith(("c_fc.weight", "intermediate.dense.weight")))
    if what == "missing":
        del weights[name]
    elif what == "unexpected":
        weights["extra"] = torch.ones(1)
    elif what == "shape":
        weights[name] = weights[name][:-1].contiguous()
    save_file(weights, path, metadata={"format": "pt"})
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnsafeFile):
        load(folder)


@pytest.mark.parametrize("target", ["../outside.safetensors", "/etc/passwd", "sub/one.safetensors"])
def test_shards_outside_of_the_folder_are_refused(saved, target):
    _, folder = saved
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": target}}))
    with pytest.raises(UnsafeFile, match="outside"):
        load(folder)


def test_links_lead_only_into_the_folder_or_its_hub_cache(make, tmp_path):
    home = tmp_path / "models--a--b" / "snapshots" / "1"
    blobs = tmp_path / "models--a--b" / "blobs"
    model = swap(make(), "alibi")
    model.save_pretrained(home)
    blobs.mkdir()
    (home / "model.safetensors").rename(blobs / "abc")
    (home / "model.safetensors").symlink_to(blobs / "abc")
    assert same(model, load(home))
    (blobs / "abc").rename(tmp_path / "elsewhere")
    (home / "model.safetensors").unlink()
    (home / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile, match="outside"):
        load(home)


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, "\udcff"])
def test_malformed_configs_are_refused(saved, content):
    (saved[1] / "config.json").write_text(content, errors="surrogateescape")
    with pytest.raises(UnsafeFile):
        load(saved[1])


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UnsafeFile, match="cannot be read"):
        load(tmp_path / "nothing")


def test_another_head_comes_back_with_its_own_class(tmp_path, tokens):
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=32,
        num_labels=3,
    )
    model = swap(BertForSequenceClassification(config).eval(), "alibi")
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again) is BertForSequenceClassification and again.config.num_labels == 3
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_a_learned_table_cut_shorter_comes_back(make_gpt2, tokens, tmp_path):
    model = swap(make_gpt2(), "learned", max_len=16)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again) is GPT2LMHeadModel and again.config.max_position_embeddings == 16
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_lengths_that_other_verbs_recorded_survive_a_swap(tmp_path: Path) -> None:
    """An extended checkpoint's config holds its trained length under the key of the swap's record."""
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(**size))
    model.config.milepost = {"trained_length": 128, "extension": {"method": "tile"}}
    swap(model, "rotary").save_pretrained(tmp_path)
    record = load(tmp_path).config.milepost
    assert (record["encoding"], record["trained_length"]) == ("rotary(theta=10000)", 128)
    assert record["extension"] == {"method": "tile"}


@pytest.mark.parametrize("encoding", ["learned", "learned(past=clamp)"])
def test_the_table_of_a_swapped_model_is_read_without_torch(tmp_path: Path, encoding: str) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM

    from milepost.tables import read

    config = RobertaConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=50,
        max_position_embeddings=34,
    )  # fmt: skip
    model = swap(RobertaForMaskedLM(config), encoding)
    model.save_pretrained(tmp_path)
    (table,) = read(tmp_path).tables
    assert (len(table.rows), table.first_row) == (32, 0)
    assert table.key.endswith("milepost.weight")
    swap(model, "rotary").save_pretrained(tmp_path / "rotary")
    with pytest.raises(UnknownFamily, match="was swapped"):
        read(tmp_path / "rotary")
