import pytest
import torch

from milepost.encodings import Encoding, Geometry, build, canonical, register, registered, resolve
from milepost.errors import OptionError, SpecError, UnknownName

GEOMETRY = Geometry(dim=8, heads=2, head_dim=4, max_len=16)


def test_a_name_clash_raises_and_keeps_the_first():
    before = registered()["none"]
    with pytest.raises(OptionError, match="MP105"):
        register(before.row)(before)
    assert registered()["none"] is before


def test_a_misspelt_encoding_is_offered_the_nearest():
    with pytest.raises(UnknownName, match="did you mean rotary"):
        resolve("rotery")


@pytest.mark.parametrize(
    "spec", ["rotary(base=5)", "learned(std=x(y=1))", "t5(buckets=2.5)", "xpos(theta=fast)"]
)
def test_options_that_make_no_sense_are_spec_errors(spec):
    with pytest.raises(SpecError, match="MP103"):
        resolve(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "learned(std=large)",
        "learned(past=forget)",
        "learned(init=ones)",
        "sinusoidal(rms=loud)",
        "sinusoidal(theta=1)",
        "rotary(theta=0)",
        "rotary(theta=fast)",
        "t5(buckets=7)",
        "t5(buckets=32,max_distance=16)",
    ],
)
def test_values_out_of_range_are_option_errors(spec):
    with pytest.raises(OptionError, match="MP105"):
        build(spec, GEOMETRY)


@pytest.mark.parametrize("field", ["dim", "heads", "head_dim", "max_len"])
def test_a_geometry_of_nothing_is_refused(field):
    with pytest.raises(OptionError, match=field):
        Geometry(**{**vars(GEOMETRY), field: 0})


def test_canonical_drops_defaults_and_sorts():
    assert str(canonical("learned(std=auto, past=clamp, init=normal)")) == "learned(past=clamp)"
    assert str(canonical("t5(max_distance=64,buckets=8)")) == "t5(buckets=8,max_distance=64)"


def test_an_encoding_that_acts_nowhere_returns_what_it_got():
    none = build("none", GEOMETRY)
    embeddings, positions = torch.randn(2, 3, 8), torch.arange(3)
    assert none.embed(embeddings) is embeddings
    assert none.rotate(embeddings, embeddings, positions, positions) == (embeddings, embeddings)
    assert none.bias(embeddings, positions, positions, scaling=1.0) is None
    assert none.usable_length is None
    assert none.scales == {}


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError):
        Encoding()
