"""A model that a folder holds: what is loaded, what is refused, and that nothing is printed."""

import json

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import milepost
from milepost.models.check.folder import check_folder


def test_a_folder_is_loaded_whether_swapped_or_not(make_gpt2, tmp_path):
    make_gpt2().save_pretrained(tmp_path / "stock")
    milepost.swap(make_gpt2(), "learned").save_pretrained(tmp_path / "swapped")
    assert {found.code: found.status for found in check_folder(tmp_path / "stock")}["MP343"] == "issue"
    assert {found.status for found in check_folder(tmp_path / "swapped")} == {"passed"}
    missing = check_folder(tmp_path / "nothing")
    assert [(found.code, found.status) for found in missing] == [("MP340", "issue")]


def test_a_folder_of_pickles_is_not_loaded(make_gpt2, tmp_path):
    make_gpt2().config.save_pretrained(tmp_path)
    torch.save(make_gpt2().state_dict(), tmp_path / "pytorch_model.bin")
    (found,) = check_folder(tmp_path)
    assert (found.code, found.status) == ("MP340", "issue")


def test_a_folder_whose_configuration_does_not_fit_is_an_issue(make_gpt2, tmp_path):
    make_gpt2().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"n_embd": 64}))
    (found,) = check_folder(tmp_path)
    assert (found.code, found.status) == ("MP340", "issue")
    assert found.got and found.fix
    path.write_text(json.dumps(config | {"n_layer": 3}))
    (found,) = check_folder(tmp_path)
    assert found.status == "issue"
    assert "12 weights are in no file" in found.got
    path.write_text("{")
    assert [one.status for one in check_folder(tmp_path)] == ["issue"]


def test_a_missing_pooler_is_no_missing_weight(make_bert, tmp_path):
    make_bert().save_pretrained(tmp_path)  # of masked tokens, so without a pooler
    assert check_folder(tmp_path)[0].status == "passed"


def test_a_head_that_answers_nan_is_not_left_out(tmp_path):
    """The body alone is fine: the folder's own class must be loaded."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(intermediate_size=64, num_key_value_heads=2, tie_word_embeddings=False, **sizes)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    model.save_pretrained(tmp_path)
    (found,) = check_folder(tmp_path)
    assert (found.code, found.status) == ("MP340", "issue")


def test_loading_a_folder_prints_nothing(make_gpt2, tmp_path, capfd):
    make_gpt2().save_pretrained(tmp_path)
    capfd.readouterr()
    check_folder(tmp_path)
    assert capfd.readouterr().err == ""
