"""A variant of a learned table is a class of fifteen lines, and has all that a table has."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from milepost.catalog import CLASSES
from milepost.encodings import Geometry, RowTable, build
from milepost.models import ModelShape, load, swap
from milepost.models.building.user_model import build_user_model
from milepost.tables import read
from milepost.testing import check_encoding

GEOMETRY = Geometry(dim=8, heads=2, head_dim=4, max_len=16, embedding_rms=0.5)


@pytest.fixture(autouse=True)
def _noisy(monkeypatch):
    """The table of the page on plugins, registered for one test at a time: other tests count what is registered."""
    monkeypatch.setattr(CLASSES, "_known", dict(CLASSES._known))
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "plugins")
    monkeypatch.delitem(sys.modules, "my_table", raising=False)
    importlib.import_module("my_table")


def make_gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=1, n_embd=8, n_head=2, vocab_size=30, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


def test_it_is_built_with_the_options_of_a_table_and_its_own():
    made = build("noisy(noise=0.5,past=clamp,rows=9)", GEOMETRY)
    assert isinstance(made, RowTable)
    assert (made.noise, made.past, made.max_len, made.std) == (0.5, "clamp", 9, 0.5)
    noise = (made.vectors(range(9)) - made.weight).std().item()
    assert noise == pytest.approx(0.5, rel=0.3)
    assert torch.equal(made.eval().vectors(range(9)), made.weight)


def test_the_battery_passes():
    assert {result.status for result in check_encoding("noisy")} <= {"passed", "not_applicable"}


@pytest.mark.parametrize("spec", ["noisy", "noisy(noise=0.3)", "noisy(past=clamp,count=on)"])
def test_trained_rows_are_kept_when_it_is_swapped_in(spec):
    stock, tokens = make_gpt2(), torch.arange(12)[None]
    swapped = swap(make_gpt2(), spec)
    assert torch.equal(swapped.transformer.milepost.weight, stock.transformer.wpe.weight)
    assert torch.equal(swapped(tokens).logits, stock(tokens).logits)
    back = swap(swapped, "learned")
    assert torch.equal(back(tokens).logits, stock(tokens).logits)


def test_rows_are_fresh_where_the_spec_asks_for_it():
    stock = make_gpt2().transformer.wpe.weight
    for spec in ("noisy(std=0.1)", "noisy(init=zeros)", "noisy(rows=20)"):
        assert not torch.equal(swap(make_gpt2(), spec).transformer.milepost.weight[:16], stock)


def test_it_is_saved_and_loaded(tmp_path: Path):
    model, tokens = swap(make_gpt2(), "noisy(noise=0.3)"), torch.arange(12)[None]
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.transformer.milepost.noise == 0.3
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_its_saved_rows_are_read_as_a_table(tmp_path: Path):
    model = swap(make_gpt2(), "noisy(noise=0.5)")
    model.save_pretrained(tmp_path)
    (table,) = read(tmp_path).tables
    assert (table.rows == model.base_model.milepost.weight.detach().numpy()).all()


def test_a_comparison_from_trained_weights_keeps_them_too(tmp_path: Path):
    stock, tokens = make_gpt2(), torch.arange(12)[None]
    stock.save_pretrained(tmp_path)
    shape = ModelShape(layers=1, dim=8, heads=2, init_std=0.02, max_len=16, vocabulary_size=30)
    model = build_user_model(str(tmp_path), "causal-lm", shape, encoding="noisy", seed=0, weights=True).eval()
    assert torch.equal(model(tokens).logits, stock(tokens).logits)


@pytest.mark.parametrize("spec", ["noisy", "learned", "learned(past=group)", "learned(rank=3)"])
def test_every_table_hands_its_rows_to_the_one_that_takes_its_place(spec):
    first = swap(make_gpt2(), spec).eval()
    rows = first.transformer.milepost.vectors(range(16)).detach()
    then = "noisy" if spec == "learned" else "learned"
    assert torch.equal(swap(first, then).transformer.milepost.weight, rows)
