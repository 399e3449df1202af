import pytest
import torch

from milepost.encodings import build_positions
from milepost.encodings.positions import build_distances, require_contiguous, require_whole
from milepost.errors import OptionError


def test_left_pads_shift_nothing():
    left = torch.tensor([[0, 0, 1, 1, 1]])
    right = torch.tensor([[1, 1, 1, 0, 0]])
    assert build_positions(5, attention_mask=left)[0, 2:].tolist() == [0, 1, 2]
    assert build_positions(5, attention_mask=right)[0, :3].tolist() == [0, 1, 2]


def test_a_cached_step_continues_its_own_sequence():
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    assert build_positions(1, past_length=3, attention_mask=mask).tolist() == [[2], [3]]
    assert build_positions(2, past_length=torch.tensor(3)).tolist() == [[3, 4]]


def test_a_document_begun_before_the_call_goes_on():
    starts = torch.tensor([[False, False, True, False]])
    assert build_positions(4, past_length=5, document_starts=starts).tolist() == [[5, 6, 0, 1]]


def test_positions_are_int64_and_carry_the_first_row():
    for mask in (None, torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 4)):
        positions = build_positions(4, attention_mask=mask, first_row=2)
        assert positions.dtype == torch.int64
        assert positions[0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(
    "arguments",
    [
        {"attention_mask": torch.ones(1, 3)},
        {"attention_mask": torch.ones(1, 1, 4, 4)},
        {"document_starts": torch.ones(1, 3, dtype=torch.bool)},
        {"document_starts": torch.ones(1, 4, dtype=torch.bool), "attention_mask": torch.ones(1, 4)},
    ],
)
def test_shapes_that_disagree_are_refused(arguments):
    with pytest.raises(OptionError, match="MP105"):
        build_positions(4, **arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.bool])
def test_positions_that_are_no_integers_are_refused(dtype):
    with pytest.raises(OptionError, match=str(dtype)):
        require_whole(torch.zeros(3, dtype=dtype))


@pytest.mark.parametrize("positions", [range(0, 8, 2), range(-1, 3)])
def test_a_range_with_gaps_or_below_zero_is_refused(positions):
    with pytest.raises(OptionError, match="contiguous"):
        require_contiguous(positions)


def test_distances_broadcast_over_the_batch():
    assert build_distances(torch.arange(2), torch.zeros(3, 4, dtype=torch.int64)).shape == (3, 2, 4)
