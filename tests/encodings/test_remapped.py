from dataclasses import replace

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


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_randomized_places_each_sequence_by_its_own_number_of_tokens(mode):
    encoding = getattr(training("randomized(inner=alibi,max_len=50)"), mode)()

    def remap(*rows):
        torch.manual_seed(0)
        return encoding.remap(torch.tensor(rows), batch=len(rows))

    together = remap([0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 2, 3])  # left pads, right pads, none
    torch.manual_seed(0)
    two = encoding.remap(range(2), batch=1)
    torch.manual_seed(0)
    assert torch.equal(together[2], encoding.remap(range(4), batch=1))
    assert torch.equal(together[0], two[[0, 0, 0, 1]])
    assert torch.equal(together[1], two[[0, 1, 1, 1]])
    assert together.dtype == torch.int64


def test_randomized_draws_in_evaluation_too_and_always_the_same():
    encoding = training("randomized(inner=alibi,max_len=50)").eval()
    state = torch.get_rng_state()
    drawn = encoding.remap(range(10), batch=4)
    assert torch.equal(drawn, encoding.remap(range(10), batch=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert (drawn.diff() > 0).all()
    assert drawn.tolist() != list(range(10))
    assert encoding.remap(range(50), batch=1).tolist() == list(range(50))


def test_models_of_other_seeds_are_evaluated_at_other_positions():
    def drawn(seed):
        torch.manual_seed(seed)
        encoding = build("randomized(inner=learned,max_len=50)", GEOMETRY).eval()
        return encoding, encoding.remap(range(10), batch=1)

    one, positions = drawn(0)
    other, others = drawn(1)
    assert not torch.equal(positions, others)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.remap(range(10), batch=1), positions)
    torch.manual_seed(0)  # the encoding inside begins as it does alone
    alone = build("learned", replace(GEOMETRY, max_len=50))
    assert torch.equal(alone.weight, one.inner.weight)


def test_a_state_from_before_there_was_a_draw_is_loaded():
    encoding = build("randomized(inner=learned,max_len=50)", GEOMETRY).eval()
    old = {name: value for name, value in encoding.state_dict().items() if name != "draw"}
    encoding.load_state_dict(old)
    assert encoding.draw == 0


def test_the_fixed_draw_is_as_even_as_a_random_one():
    encoding = training("randomized(inner=alibi,max_len=4096)").eval()
    counts = torch.stack(
        [
            torch.histc(encoding.remap(range(n), batch=1).float(), bins=16, min=0, max=4096)
            for n in (512, 2048)
        ]
    )
    # per bin hypergeometric: standard deviations 5.1 and 7.8
    assert (counts[0] - 32).abs().max() < 20
    assert (counts[1] - 128).abs().max() < 30
    order = encoding._order(None).float()
    assert abs(torch.corrcoef(torch.stack((order, torch.arange(4096.0))))[0, 1]) < 0.05


def test_positions_past_the_range_stay_past_it():
    encoding = build("randomized(inner=learned,max_len=8)", GEOMETRY).eval()
    with pytest.raises(PastTheEnd):
        encoding.vectors(encoding.remap(torch.tensor([[3, 9]]), batch=1))


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
@pytest.mark.parametrize("inner", ["learned", "sinusoidal", "rotary", "alibi", "t5", "fire"])
def test_hooks_are_those_of_the_encoding_inside(name, inner):
    encoding = build(f"{name}(inner={inner})", GEOMETRY).eval()
    positions = torch.arange(5)
    assert encoding.places == encoding.inner.places
    assert encoding.scales == encoding.inner.scales
    assert encoding.thresholds == encoding.inner.thresholds
    query = torch.randn(1, 2, 5, 4)
    mine, theirs = (e.rotate(query, query, positions, positions)[0] for e in (encoding, encoding.inner))
    assert torch.equal(mine, theirs)


def test_shifts_leave_evaluation_and_distances_alone_and_draws_do_not():
    shifted, drawn = (build(f"{name}(inner=alibi)", GEOMETRY).eval() for name in ("shape", "randomized"))
    positions = torch.arange(5)
    assert shifted.remap(positions, batch=1) is positions
    assert shifted.relative
    assert not drawn.relative


def test_remapping_works_in_a_compiled_graph():
    for spec in ("randomized(inner=alibi,max_len=50)", "shape(inner=sinusoidal)"):
        encoding, given = training(spec), torch.arange(6).expand(2, 6)
        for mode in (True, False):
            encoding.train(mode)
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
