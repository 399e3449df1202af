"""The three encodings of images against float64 oracles, and their refusal of text."""

import numpy as np
import pytest
import torch

from milepost.encodings import (
    Geometry,
    Learned2dPositions,
    LearnedPositions,
    LowRankPositions,
    Rotary2dPositions,
    Sinusoidal2dPositions,
    build,
)
from milepost.encodings.grid import split_places, stretch_rows
from milepost.errors import OptionError, PastTheEnd
from milepost.testing import check_encoding

IMAGE = Geometry(dim=8, heads=2, head_dim=8, max_len=7, embedding_rms=0.3, grid=(2, 3), prefix=1)
TEXT = Geometry(dim=8, heads=2, head_dim=8, max_len=7)
NAMES = ("learned2d", "sinusoidal2d", "rotary2d")


def places(columns, prefix, count):
    """Row and column of each position, the slow way; None for the prefix."""
    found = [None] * prefix
    row = 0
    while len(found) < count:
        found += [(row, column) for column in range(columns)]
        row += 1
    return found[:count]


def sinusoid(columns, dim, prefix, theta, amplitude, count):
    """MAE: half a width a coordinate, column first; sin then cos of p / theta^(i / (dim / 4))."""
    table = np.zeros((count, dim))
    quarter = dim // 4
    for index, place in enumerate(places(columns, prefix, count)):
        if place is not None:
            waves = []
            for coordinate in (place[1], place[0]):
                angle = coordinate / theta ** (np.arange(quarter) / quarter)
                waves += [np.sin(angle), np.cos(angle)]
            table[index] = amplitude * np.concatenate(waves)
    return table


def turned(heads, columns, prefix, theta):
    """Complex pairs (i, i + d/2); the first d/4 turn by the row, the next d/4 by the column."""
    half = heads.shape[-1] // 2
    paired = heads[..., :half] + 1j * heads[..., half:]
    frequencies = theta ** (-np.arange(half // 2) / (half // 2))
    for index, place in enumerate(places(columns, prefix, heads.shape[-2])):
        if place is not None:
            angle = np.concatenate([place[0] * frequencies, place[1] * frequencies])
            paired[..., index, :] *= np.exp(1j * angle)
    return np.concatenate([paired.real, paired.imag], -1)


@pytest.mark.parametrize("order", [[(50.0, 3, 1), (3000.0, 7, 4)], [(3000.0, 7, 4), (50.0, 3, 1)]])
def test_sinusoids_are_those_of_mae_at_two_values_of_each_option(order):
    made = [
        Sinusoidal2dPositions(columns, 16, prefix=prefix, theta=theta) for theta, columns, prefix in order
    ]
    for encoding, (theta, columns, prefix) in zip(made, order, strict=True):
        want = sinusoid(columns, 16, prefix, theta, 1.0, 60)
        np.testing.assert_allclose(encoding.vectors(torch.arange(60)), want, atol=1e-6)
        np.testing.assert_allclose(encoding.vectors(range(2, 60)), want[2:], atol=1e-6)


@pytest.mark.parametrize(("option", "rms"), [("auto", 0.3), ("0.05", 0.05), ("raw", np.sqrt(0.5))])
def test_the_scale_of_sinusoids_is_that_of_the_patches(option, rms):
    encoding = build(f"sinusoidal2d(rms={option})", IMAGE)
    assert encoding.vectors(range(1, 7)).square().mean().sqrt().item() == pytest.approx(rms, rel=1e-6)
    assert not encoding.vectors(range(1)).any()
    assert encoding.scales == {"rms": pytest.approx(rms)}


@pytest.mark.parametrize("dim", [5, 6, 7, 9])
def test_widths_that_4_does_not_divide_lose_a_last_cosine_at_most(dim):
    vectors = Sinusoidal2dPositions(3, dim).vectors(range(9))
    assert vectors.shape == (9, dim)
    assert len(vectors.unique(dim=0)) == 9


@pytest.mark.parametrize("order", [[(50.0, 3, 1), (3000.0, 7, 4)], [(3000.0, 7, 4), (50.0, 3, 1)]])
def test_rotary_is_axial_at_two_values_of_each_option(order):
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 3, 40, 8)), rng.normal(size=(2, 1, 30, 8))
    made = [Rotary2dPositions(columns, 8, prefix=prefix, theta=theta) for theta, columns, prefix in order]
    for encoding, (theta, columns, prefix) in zip(made, order, strict=True):
        got = encoding.rotate(
            torch.from_numpy(query).float(),
            torch.from_numpy(key).float(),
            torch.arange(40),
            torch.arange(30)[None],
        )
        for ours, theirs in zip(got, (query, key), strict=True):
            np.testing.assert_allclose(ours, turned(theirs, columns, prefix, theta), atol=2e-6)


def test_rotary_scores_depend_on_rows_and_columns_apart_and_leave_the_prefix_alone():
    encoding = Rotary2dPositions(5, 8, prefix=2)
    same = torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(0)).expand(1, 1, 27, 8)
    query, key = encoding.rotate(same, same.flip(-1), torch.arange(27), torch.arange(27))
    assert torch.equal(query[..., :2, :], same[..., :2, :])
    scores = (query @ key.mT)[0, 0, 2:, 2:].reshape(5, 5, 5, 5)
    torch.testing.assert_close(scores[1:, 1:, 1:, 1:], scores[:-1, :-1, :-1, :-1])
    # the last patch of a row and the first of the next are neighbours in the sequence, not in the image
    assert (scores[0, 4, 1, 0] - scores[0, 3, 0, 4]).abs() > 0.1


def test_a_learned_patch_is_its_row_plus_its_column_and_the_prefix_stands_apart():
    table = Learned2dPositions((2, 3), 4, prefix=2, std=0.5)
    rows, columns = table.rows.detach().double().numpy(), table.columns.detach().double().numpy()
    want = [rows[place[0]] + columns[place[1]] for place in places(3, 2, 8)[2:]]
    want = np.concatenate([table.prefix.detach().numpy(), want])
    np.testing.assert_allclose(table.vectors(range(8)).detach(), want, atol=1e-6)
    at = torch.tensor([[7, 0], [3, 3]])
    np.testing.assert_allclose(table.vectors(at).detach(), want[at], atol=1e-6)


@pytest.mark.parametrize(("option", "std"), [("auto", 0.3), ("0.05", 0.05)])
def test_learned_patches_start_at_the_scale_they_name(option, std):
    torch.manual_seed(0)
    wide = Geometry(dim=256, heads=2, head_dim=8, max_len=7, embedding_rms=0.3, grid=(40, 50), prefix=9)
    encoding = build(f"learned2d(std={option})", wide)
    assert encoding.scales == {"std": std}
    for span in (range(9), range(9, 2009)):
        assert encoding.vectors(span).std().item() == pytest.approx(std, rel=0.05)


def test_learned_patches_end_with_the_image():
    table = build("learned2d", IMAGE)
    assert table.usable_length == 7
    assert table.prefix is not None
    with pytest.raises(PastTheEnd, match="2 x 3 patches"):
        table.vectors(range(8))
    with pytest.raises(PastTheEnd):
        table.vectors(torch.tensor([7]))


def test_without_class_tokens_there_is_no_prefix_parameter():
    assert list(Learned2dPositions((2, 2), 4).state_dict()) == ["rows", "columns"]
    assert Learned2dPositions((2, 2), 4).vectors(range(4)).shape == (4, 4)


@pytest.mark.parametrize("spec", [*NAMES, "randomized(inner=learned2d)", "shape(inner=sinusoidal2d)"])
def test_text_is_refused_in_three_lines(spec):
    with pytest.raises(OptionError, match="is for images") as raised:
        build(spec, TEXT)
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("wrong", [{"grid": (0, 3)}, {"grid": (2, 2), "prefix": -1}])
def test_a_grid_that_is_none_is_refused(wrong):
    with pytest.raises(OptionError, match="grid="):
        Geometry(dim=8, heads=2, head_dim=8, max_len=7, **wrong)


@pytest.mark.parametrize("head_dim", [2, 6])
def test_rotary_refuses_a_width_that_cannot_be_shared(head_dim):
    with pytest.raises(OptionError, match=f"head_dim={head_dim}"):
        Rotary2dPositions(3, head_dim)


def test_places_of_the_prefix_never_leave_the_image():
    rows, columns = split_places(torch.arange(-1, 9), columns=4, prefix=3)
    assert rows.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert columns.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 0, 1]


# ---- images of another grid


def keys(x, a=-0.5):
    """Keys 1981, equation 4."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def triangle(x):
    return max(0.0, 1.0 - abs(x))


def resampling(size, to_size, kernel):
    """Weights of old places for new ones: centres at halves, kernels that widen where an axis shrinks."""
    scale = size / to_size
    width = max(scale, 1.0)
    weights = np.array([
        [kernel((old + 0.5 - (new + 0.5) * scale) / width) for old in range(size)] for new in range(to_size)
    ])  # fmt: skip
    return weights / weights.sum(1, keepdims=True)


def stretched(table, grid, to_grid, past):
    """A table of patches for another grid, the slow way."""
    prefix = len(table) - grid[0] * grid[1]
    patches = table[prefix:]
    if past == "linear":
        made = resampling(len(patches), to_grid[0] * to_grid[1], triangle) @ patches
    else:
        down, along = (resampling(old, new, keys) for old, new in zip(grid, to_grid, strict=True))
        made = np.einsum("hy,wx,yxd->hwd", down, along, patches.reshape(*grid, -1)).reshape(
            -1, table.shape[1]
        )
    return np.concatenate([table[:prefix], made])


GRIDS = [((2, 3), (5, 7)), ((6, 5), (3, 2)), ((4, 4), (8, 3)), ((1, 6), (2, 2)), ((6, 1), (2, 1))]


@pytest.mark.parametrize("past", ["linear", "bicubic"])
@pytest.mark.parametrize(("grid", "to_grid"), GRIDS)
@pytest.mark.parametrize("prefix", [0, 2])
def test_tables_are_resampled_as_their_formulas_say(past, grid, to_grid, prefix):
    table = np.random.default_rng(0).normal(size=(prefix + grid[0] * grid[1], 3))
    exact = stretch_rows(torch.from_numpy(table), grid, to_grid, past)
    np.testing.assert_allclose(exact, stretched(table, grid, to_grid, past), atol=1e-12)
    encoding = LearnedPositions(len(table), 3, past=past).lay_out(grid)
    with torch.no_grad():
        encoding.weight.copy_(torch.from_numpy(table))
    other = encoding.at_grid(to_grid)
    count = prefix + to_grid[0] * to_grid[1]
    np.testing.assert_allclose(other.vectors(range(count)).detach(), exact, atol=2e-6)
    assert other.usable_length is None and encoding.at_grid(grid) is encoding
    with pytest.raises(PastTheEnd, match="past the end"):
        other.vectors(range(count + 1))
    with pytest.raises(PastTheEnd, match="past the end"):
        other.vectors(torch.tensor([count]))


def test_one_dimension_and_two_differ_in_what_is_near():
    column = torch.arange(4.0).repeat_interleave(4)[:, None]  # rows of an image, each of one value
    two = stretch_rows(column, (4, 4), (8, 8), "bicubic").reshape(8, 8)
    assert torch.allclose(two, two[:, :1].expand(8, 8), atol=1e-6)
    row = torch.arange(4.0).repeat(4)[:, None]
    one = stretch_rows(row, (4, 4), (8, 8), "linear").reshape(8, 8)
    assert not torch.allclose(one, one[:1].expand(8, 8), atol=0.5)
    two = stretch_rows(row, (4, 4), (8, 8), "bicubic").reshape(8, 8)
    assert torch.allclose(two, two[:1].expand(8, 8), atol=1e-6)


@pytest.mark.parametrize(("grid", "to_grid"), GRIDS)
def test_sums_of_rows_and_columns_are_resampled_in_two_dimensions(grid, to_grid):
    encoding = Learned2dPositions(grid, 3, prefix=2, past="bicubic", std=1.0, dtype=torch.float64)
    whole = encoding.vectors(range(encoding.max_len)).detach().numpy()
    other = encoding.at_grid(to_grid)
    np.testing.assert_allclose(
        other.vectors(range(other.max_len)).detach(), stretched(whole, grid, to_grid, "bicubic"), atol=1e-12
    )


def test_a_table_of_low_rank_is_resampled_as_its_product_is():
    encoding = LowRankPositions(14, 5, rank=3, past="bicubic", dtype=torch.float64).lay_out((4, 3))
    whole = encoding.vectors(range(14)).detach().numpy()
    other = encoding.at_grid((7, 2)).vectors(range(16)).detach()
    np.testing.assert_allclose(other, stretched(whole, (4, 3), (7, 2), "bicubic"), atol=1e-12)


@pytest.mark.parametrize("spec", ["learned(past=linear)", "learned(past=bicubic)", "learned2d(past=bicubic)"])
def test_gradients_of_another_grid_reach_the_stored_rows(spec):
    encoding = build(spec, IMAGE).double()
    before = [one.detach().clone() for one in encoding.parameters()]
    encoding.at_grid((3, 3)).vectors(range(10)).sum().backward()
    # resampling keeps constants: each image of 9 patches hands out what it was made of, and no more
    given = sum(one.grad.sum().item() for one in encoding.parameters())
    assert given == pytest.approx(8 * (10 if spec.startswith("learned(") else 19), abs=1e-9)
    assert all(torch.equal(one, old) for one, old in zip(encoding.parameters(), before, strict=True))
    assert [name for name, _ in encoding.named_parameters()] == [
        name for name, _ in build(spec, IMAGE).named_parameters()
    ]


@pytest.mark.parametrize("spec", ["learned(past=linear)", "learned(past=bicubic)", "learned2d(past=bicubic)",
                                  "learned(past=bicubic,rank=4)", "sinusoidal2d", "rotary2d"])  # fmt: skip
def test_the_battery_passes_where_images_change_their_size(spec):
    assert {result.status for result in check_encoding(spec)} <= {"passed", "not_applicable"}


@pytest.mark.parametrize("name", ["sinusoidal2d", "rotary2d"])
def test_places_of_another_grid_are_those_of_an_encoding_built_for_it(name):
    other = build(name, IMAGE).at_grid((2, 5))
    fresh = build(
        name, Geometry(dim=8, heads=2, head_dim=8, max_len=11, embedding_rms=0.3, grid=(2, 5), prefix=1)
    )
    assert other.columns == 5 and build(name, IMAGE).at_grid((9, 3)).columns == 3
    positions, heads = torch.arange(11), torch.randn(1, 2, 11, 8)
    if name == "sinusoidal2d":
        assert torch.equal(other.vectors(positions), fresh.vectors(positions))
    else:
        assert torch.equal(other.rotate(heads, heads, positions, positions)[0],
                           fresh.rotate(heads, heads, positions, positions)[0])  # fmt: skip


def test_encodings_that_know_positions_alone_answer_for_any_image_themselves():
    for name in ("learned", "learned2d", "sinusoidal", "rotary", "alibi", "none", "learned(past=tile)"):
        encoding = build(name, IMAGE)
        assert encoding.at_grid((9, 9)) is encoding


def test_resampling_is_refused_for_text_and_for_rows_without_a_place():
    for spec in ("learned(past=bicubic)", "learned(past=linear,rank=2)"):
        with pytest.raises(OptionError, match="images"):
            build(spec, TEXT)
    with pytest.raises(OptionError, match="does not fit"):
        build("learned(past=bicubic,rows=5)", IMAGE)
    with pytest.raises(OptionError, match="was not laid out"):
        LearnedPositions(7, 8, past="bicubic").at_grid((3, 3))
    with pytest.raises(OptionError, match="one of"):
        build("learned2d(past=linear)", IMAGE)
