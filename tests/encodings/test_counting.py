import pytest
import torch

from milepost.encodings import LearnedPositions, LowRankPositions


def counted(**options):
    return LearnedPositions(6, 4, count=True, **options)


def test_rows_are_counted_once_a_pass_however_they_are_named():
    made = counted()
    made.vectors(range(3))
    made.vectors(torch.tensor([[2, 2, 4], [2, 4, 4]]))
    assert made.trained_counts.tolist() == [1, 1, 2, 0, 1, 0]
    assert made.trained_counts.dtype == torch.int64


def test_nothing_is_counted_outside_of_training():
    made = counted()
    made.eval().vectors(range(3))
    made.train()
    with torch.no_grad():
        made.vectors(range(3))
    assert not made.trained_counts.any()


@pytest.mark.parametrize(("past", "counts"), [("clamp", [0, 0, 0, 0, 0, 1]), ("tile", [1, 1, 0, 0, 0, 1])])
def test_overflowing_positions_count_for_the_rows_that_answer(past, counts):
    made = counted(past=past)
    made.vectors(range(5, 8))
    assert made.trained_counts.tolist() == counts


def test_on_a_device_a_missing_row_counts_for_none(monkeypatch):
    monkeypatch.setattr("milepost.encodings.table.is_at_host", lambda tensor: False)
    made = counted()
    made.vectors(torch.tensor([1, 9, -1]))
    assert made.trained_counts.tolist() == [0, 1, 0, 0, 0, 0]


def test_counts_live_in_the_state_dict_and_survive_half_precision():
    made = counted().bfloat16()
    for _ in range(300):
        made.vectors(range(2))
    other = counted()
    other.load_state_dict(made.state_dict())
    assert other.trained_counts.tolist() == [300, 300, 0, 0, 0, 0]
    other.reset_parameters()
    assert not other.trained_counts.any()


def test_without_counting_the_state_dict_is_that_of_a_plain_table():
    assert list(LearnedPositions(6, 4).state_dict()) == ["weight"]
    assert list(LowRankPositions(6, 4, rank=2).state_dict()) == ["left", "right"]


def test_compiled_passes_are_counted():
    made = counted()
    torch.compiler.reset()
    compiled = torch.compile(made.vectors, fullgraph=True, backend="eager")
    compiled(torch.tensor([1, 3]))
    compiled(range(2))
    assert made.trained_counts.tolist() == [1, 2, 0, 1, 0, 0]
