"""The test of versions that nobody has tested: it passes here, finds what is broken, and speaks once."""

import warnings

import pytest
import torch

import milepost
from milepost.errors import UntestedVersion
from milepost.models import hooks, load
from milepost.models.check import self_test
from milepost.models.swapping import _swap
from milepost.models.transformers_private import transformers_version


@pytest.fixture
def untested(monkeypatch):
    monkeypatch.setattr(self_test, "transformers_version", lambda: "5.99.0")
    self_test._check_once.cache_clear()
    yield
    self_test._check_once.cache_clear()


def test_the_installed_versions_are_on_the_list():
    assert transformers_version() in self_test.TESTED_TRANSFORMERS, "test it, then add it to the list"
    assert self_test.torch_version() in self_test.TESTED_TORCH


def test_it_passes_under_the_installed_versions_whatever_the_caller_has_set():
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            assert self_test.run_self_test(_swap) == []
        assert torch.get_default_dtype() is torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)


def broken_cache(monkeypatch):
    """What 5.24 did to a hook that knew one name."""
    monkeypatch.setattr(hooks, "find_cache", lambda arguments: None)


def broken_name(monkeypatch):
    monkeypatch.setattr(self_test, "cache_argument", lambda names: None)


def broken_mask(monkeypatch):
    monkeypatch.setattr(hooks.Call, "mask", property(lambda call: None))


def ignored_positions(monkeypatch):
    positions = hooks._positions

    def broken(state, call):
        call.arguments.pop("position_ids", None)
        return positions(state, call)

    monkeypatch.setattr(hooks, "_positions", broken)


def no_such_call(monkeypatch):
    def broken(*args):
        raise TypeError("unexpected argument")

    monkeypatch.setattr(hooks, "_read", broken)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (broken_cache, "gpt2 with learned, cached: differs by"),
        (broken_cache, "llama with rotary"),
        (broken_cache, "gpt2 with alibi"),
        (broken_name, "LookupError"),
        (broken_mask, "gpt2 with learned, padded: differs by"),
        (ignored_positions, "position_ids are ignored"),
        (no_such_call, "TypeError: unexpected argument"),
    ],
)
def test_it_finds_what_a_new_version_may_break(monkeypatch, change, words):
    change(monkeypatch)
    assert any(words in failure for failure in self_test.run_self_test(_swap))


def test_a_version_that_passes_is_warned_of_once(untested, make_gpt2):
    with pytest.warns(UserWarning, match=r"not tested with transformers 5\.99\.0 and torch 2") as said:
        milepost.swap(make_gpt2(), "rotary")
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        milepost.swap(make_gpt2(), "rotary")


def test_a_version_that_fails_is_refused_and_the_model_untouched(untested, make_gpt2, monkeypatch):
    broken_cache(monkeypatch)
    model = make_gpt2()
    before = model.state_dict()
    for _ in range(2):
        with pytest.raises(UntestedVersion, match=r"transformers 5\.99\.0(.|\n)*fix: pip install") as caught:
            milepost.swap(model, "rotary")
    assert caught.value.exit_code == 2
    assert model.state_dict().keys() == before.keys() and not hasattr(model.transformer, "milepost")


def test_load_refuses_such_a_version_too(untested, make_gpt2, tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="not tested"):
        milepost.swap(make_gpt2(), "rotary").save_pretrained(tmp_path)
    self_test._check_once.cache_clear()
    broken_cache(monkeypatch)
    with pytest.raises(UntestedVersion):
        load(tmp_path)


def test_a_tested_version_is_not_tested_again(make_gpt2, monkeypatch):
    monkeypatch.setattr(self_test, "run_self_test", lambda swap: ["failed"])
    self_test._check_once.cache_clear()
    milepost.swap(make_gpt2(), "rotary")
