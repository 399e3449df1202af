import pytest
import torch

from milepost.encodings import Geometry, build
from milepost.errors import OptionError, PastTheEnd, UnknownName

GEOMETRY = Geometry(dim=8, heads=2, head_dim=4, max_len=16)


def training(spec):
    torch.manual_seed(0)
    return build(spec, GEOMETRY).train()


def test_randomized_positions_are_distinct_ordered_and_cover_the_whole_range():
    encoding = training("randomized(inner=alibi,max_len=50)")
    drawn = torch.stack([encoding.remap(range(10), batch=4) for _ in range(400)])
    assert (drawn.diff(dim=-1) > 0).all()
    assert drawn.unique().tolist() == list(range(50))
    # the first of 10 out of 50 without replacement is (50 + 1) / (10 + 1) - 1 on average
    assert drawn[:, 0].float().mean().item() == pytest.approx(51 / 11 - 1, abs=0.7)


def test_randomized_keeps_who_shares_a_position():
    encoding = training("randomized(inner=alibi,max_len=50)")
    given = torch.tensor([[0, 0, 0, 1], [0, 1, 2, 3]])  # left pads
    drawn = encoding.remap(given, batch=2)
    assert drawn.dtype == torch.int64
    assert drawn[0, 0] == drawn[0, 1] == drawn[0, 2] == drawn[1, 0]
    assert drawn[0, 3] == drawn[1, 1]


def test_randomized_gives_a_table_inside_the_larger_range():
    encoding = training("randomized(inner=learned,max_len=50)")
    assert encoding.inner.weight.shape == (50, 8)
    assert encoding.usable_length == 50
    with pytest.raises(PastTheEnd, match="60 positions cannot be drawn out of 50"):
        encoding.remap(range(60), batch=1)


def test_shifts_are_drawn_for_each_sequence_from_the_whole_range():
    encoding = training("shape(inner=sinusoidal,max_shift=3)")
    drawn = torch.stack([encoding.remap(range(5), batch=8) for _ in range(50)])
    assert drawn.shape == (50, 8, 5)
    assert (drawn.diff(dim=-1) == 1).all()
    assert drawn[..., 0].unique().tolist() == [0, 1, 2, 3]
    assert len(drawn[0, :, 0].unique()) > 1


def test_a_table_inside_has_room_for_the_shift():
    encoding = training("shape(inner=learned,max_shift=3)")
    assert encoding.inner.weight.shape == (19, 8)
    for _ in range(20):
        assert encoding.vectors(encoding.remap(range(16), batch=2)).shape == (2, 16, 8)


@pytest.mark.parametrize("name", ["randomized", "shape"])
@pytest.mark.parametrize("inner", ["learned", "sinusoidal", "rotary", "alibi", "t5"])
def test_in_use_they_are_the_encoding_inside(name, inner):
    encoding = build(f"{name}(inner={inner})", GEOMETRY).eval()
    positions = torch.arange(5)
    assert encoding.remap(positions, batch=1) is positions
    assert encoding.places == encoding.inner.places
    assert encoding.relative == encoding.inner.relative
    assert encoding.scales == encoding.inner.scales
    query = torch.randn(1, 2, 5, 4)
    mine, theirs = (e.rotate(query, query, positions, positions)[0] for e in (encoding, encoding.inner))
    assert torch.equal(mine, theirs)


def test_remapping_works_in_a_compiled_graph():
    for spec in ("randomized(inner=alibi,max_len=50)", "shape(inner=sinusoidal)"):
        encoding, given = training(spec), torch.arange(6).expand(2, 6)
        torch.compiler.reset()
        compiled = torch.compile(encoding.remap, fullgraph=True, backend="eager")
        assert (compiled(given, batch=2).diff() > 0).all()


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("randomized(max_len=0)", OptionError),
        ("shape(max_shift=-1)", OptionError),
        ("shape(inner=lerned)", UnknownName),
    ],
)
def test_what_makes_no_sense_is_refused(spec, error):
    with pytest.raises(error):
        build(spec, GEOMETRY)
