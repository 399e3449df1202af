import pytest
import torch

from milepost.encodings import Geometry, LowRankPositions, build
from milepost.errors import OptionError, PastTheEnd


@pytest.mark.parametrize(("rank", "std"), [(4, 0.02), (32, 0.5)])
def test_the_product_has_the_scale_and_the_rank(rank, std):
    torch.manual_seed(0)
    made = LowRankPositions(400, 256, rank=rank, std=std)
    table = made.vectors(range(400)).detach()
    assert table.std().item() == pytest.approx(std, rel=0.15)
    assert torch.linalg.matrix_rank(table) == rank
    assert sum(p.numel() for p in made.parameters()) == rank * (400 + 256)
    assert made.scales == {"std": std}


def test_rows_are_those_of_the_product():
    made = LowRankPositions(8, 6, rank=2)
    table = made.left @ made.right
    at = torch.tensor([[5, 0], [7, 7]])
    torch.testing.assert_close(made.vectors(at), table[at])
    with pytest.raises(PastTheEnd, match="MP101"):
        made.vectors(range(9))


def test_zeros_start_at_nothing_and_learn_at_once():
    made = LowRankPositions(8, 6, rank=2, init="zeros")
    assert not made.vectors(range(8)).any()
    made.vectors(range(8)).sum().backward()
    assert made.right.grad.any()


def test_the_spec_reaches_it():
    made = build("learned(rank=3,past=clamp)", Geometry(8, 2, 4, 16, embedding_rms=0.1))
    assert isinstance(made, LowRankPositions)
    assert made.usable_length is None
    assert made.scales == {"std": 0.1}


@pytest.mark.parametrize("options", [{"rank": 0}, {"rank": 7}, {"rank": 2, "init": "sinusoidal"}])
def test_a_rank_or_start_out_of_range_is_refused(options):
    with pytest.raises(OptionError, match="MP105"):
        LowRankPositions(8, 6, **options)
