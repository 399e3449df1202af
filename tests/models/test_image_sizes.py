"""Swapped image models on images of another size than their own."""

import copy

import numpy as np
import pytest
import torch
import transformers

import milepost
from milepost.models.building.scratch import ModelShape, build_scratch


def make(encoding, side, seed=0):
    shape = ModelShape(
        layers=2, dim=32, heads=4, init_std=0.1, max_len=0, labels=3, side=side, channels=1, patch=4
    )
    return build_scratch("images", shape, encoding=encoding, seed=seed).eval()


def make_pair(encoding, own, for_16=None):
    """A model for another size, and one built for 16 pixels with the same other weights."""
    other, built = make(encoding, own), make(for_16 or encoding, 16)
    shared = {name: one for name, one in other.state_dict().items() if ".milepost." not in name}
    built.load_state_dict(built.state_dict() | shared)
    return other, built


def answer(model, pixels):
    with torch.no_grad():
        return model(pixel_values=pixels, interpolate_pos_encoding=True).logits


@pytest.fixture
def pixels():
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "encoding", ["rotary2d", "sinusoidal2d", "sinusoidal", "rotary", "alibi", "shaw", "none"]
)
@pytest.mark.parametrize("own", [8, 24])
def test_an_encoding_without_a_table_answers_as_in_a_model_of_that_size(encoding, own, pixels):
    other, built = make_pair(encoding, own)
    assert torch.equal(answer(other, pixels), answer(built, pixels))
    assert torch.equal(answer(other, pixels), answer(built, pixels))  # and again, from what was kept


@pytest.mark.parametrize("implementation", ["milepost_sdpa", "milepost_eager"])
def test_each_attention_takes_the_places_of_the_image(implementation, pixels):
    other, built = make_pair("rotary2d", 8)
    for model in (other, built):
        model.set_attn_implementation(implementation)
    assert torch.equal(answer(other, pixels), answer(built, pixels))
    own = torch.randn(1, 1, 8, 8)
    before = answer(other, own)
    answer(other, pixels)
    assert torch.equal(answer(other, own), before)  # a size does not outlive its call


def hand_in(model, vectors):
    """The same model with these rows in its table."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.vit.milepost.weight.copy_(vectors)
    return model


@pytest.mark.parametrize("past", ["linear", "bicubic"])
def test_a_resampled_table_is_what_the_model_adds(past, pixels):
    other, built = make_pair(f"learned(past={past})", 8, "learned")
    rows = other.vit.milepost.at_grid((4, 4)).vectors(range(17)).detach()
    assert rows.shape == (17, 32)
    expected = answer(hand_in(built, rows), pixels)
    assert torch.allclose(answer(other, pixels), expected, atol=1e-6)
    assert not torch.allclose(
        answer(make("learned", 8), pixels), expected, atol=1e-3
    )  # as the family stretches it


def test_a_tiled_table_is_tiled_along_the_patches(pixels):
    other, built = make_pair("learned(past=tile)", 8, "learned")
    rows = other.vit.milepost.weight.detach()[np.arange(17) % 5]
    assert torch.allclose(answer(other, pixels), answer(hand_in(built, rows), pixels), atol=1e-6)


def test_resampling_draws_the_same_table_and_changes_nothing_at_the_trained_size():
    own = torch.randn(2, 1, 8, 8)
    wanted = answer(make("learned", 8), own)
    for past in ("linear", "bicubic", "tile"):
        assert torch.equal(answer(make(f"learned(past={past})", 8), own), wanted)


@pytest.mark.parametrize(
    "encoding", ["sinusoidal2d", "rotary2d", "learned(past=bicubic)", "learned2d(past=bicubic)"]
)
def test_images_that_are_not_square_are_answered(encoding):
    assert answer(make(encoding, 8), torch.randn(2, 1, 8, 16)).isfinite().all()


SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "patch_size": 8,
    "num_channels": 1,
}
WIDE = {"intermediate_size": 32}
FAMILIES = {
    "vit": (transformers.ViTModel, transformers.ViTConfig, WIDE),
    "deit": (transformers.DeiTModel, transformers.DeiTConfig, WIDE),
    "dinov2": (transformers.Dinov2Model, transformers.Dinov2Config, {"mlp_ratio": 1}),
}
NOTHING_ADDED = ["rotary", "rotary2d", "alibi", "t5", "none"]


def make_wide(kind, encoding, size):
    """A family's own model, of images that are not square."""
    model, config, more = FAMILIES[kind]
    torch.manual_seed(0)
    return milepost.swap(model(config(image_size=size, **SIZES, **more)), encoding).eval()


def states(model, pixels, **options):
    with torch.no_grad():
        return model(pixel_values=pixels, **options).last_hidden_state


@pytest.mark.parametrize("encoding", [*NOTHING_ADDED, "learned(past=bicubic)", "sinusoidal", "sinusoidal2d"])
@pytest.mark.parametrize("kind", ["vit", "deit"])  # DINOv2 takes every grid that it adds to for a square
def test_a_model_that_is_not_square_answers_at_its_own_size(kind, encoding):
    model, pixels = make_wide(kind, encoding, (16, 40)), torch.randn(2, 1, 16, 40)
    assert torch.equal(states(model, pixels, interpolate_pos_encoding=True), states(model, pixels))


def test_a_table_that_the_family_stretches_is_stretched_as_in_the_stock_model():
    """Sixteen patches are a square to ViT, whatever their rows and columns are."""
    swapped, pixels = make_wide("vit", "learned", (16, 64)), torch.randn(2, 1, 16, 64)
    torch.manual_seed(0)
    stock = transformers.ViTModel(transformers.ViTConfig(image_size=(16, 64), **SIZES, **WIDE)).eval()
    same = states(stock, pixels, interpolate_pos_encoding=True)
    assert torch.equal(states(swapped, pixels, interpolate_pos_encoding=True), same)


@pytest.mark.parametrize("encoding", NOTHING_ADDED)
@pytest.mark.parametrize("kind", FAMILIES)
def test_what_adds_nothing_answers_at_every_size(kind, encoding):
    model, other = make_wide(kind, encoding, (16, 40)), make_wide(kind, encoding, (24, 16))
    other.load_state_dict(model.state_dict())
    pixels = torch.randn(2, 1, 24, 16)
    assert torch.equal(states(model, pixels, interpolate_pos_encoding=True), states(other, pixels))


def test_models_train_on_another_size_and_are_copied(pixels):
    model = make("learned2d(past=bicubic)", 8).train()
    model(pixel_values=pixels, interpolate_pos_encoding=True).logits.sum().backward()
    assert model.vit.milepost.rows.grad.abs().sum() > 0
    assert torch.equal(answer(copy.deepcopy(model).eval(), pixels), answer(model.eval(), pixels))


def test_patches_reach_the_model_at_the_scale_that_encodings_stand_beside():
    model = make("learned", 64)
    patches = model.vit.embeddings.patch_embeddings(torch.randn(4, 1, 64, 64))
    table = model.vit.milepost.weight
    assert patches.std().item() == pytest.approx(table.std().item(), rel=0.15)
