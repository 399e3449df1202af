"""The three encodings of images against float64 oracles, and their refusal of text."""

import numpy as np
import pytest
import torch

from milepost.encodings import (
    Geometry,
    Learned2dPositions,
    Rotary2dPositions,
    Sinusoidal2dPositions,
    build,
)
from milepost.encodings.grid import split_places
from milepost.errors import OptionError, PastTheEnd

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
