import copy

import pytest
import torch

from milepost.encodings.memo import LastAnswer, same_memory


@pytest.fixture
def counted():
    calls = []

    def make():
        calls.append(1)
        return (torch.ones(2),)

    return make, calls


def test_the_same_tensors_are_answered_once(counted):
    make, calls = counted
    memo, positions = LastAnswer(), torch.arange(3)
    assert memo.get(make, positions)[0] is memo.get(make, positions)[0]
    assert len(calls) == 1


def test_another_view_of_the_same_numbers_is_answered_once(counted):
    make, calls = counted
    memo, positions = LastAnswer(), torch.arange(6)
    memo.get(make, positions[:4])
    memo.get(make, positions[:4])
    assert len(calls) == 1
    memo.get(make, positions[1:5])
    memo.get(make, positions[::2])
    memo.get(make, positions[:3])
    assert len(calls) == 4


def test_tensors_without_numbers_are_never_the_same():
    one, other = torch.empty(3, device="meta"), torch.empty(3, device="meta")
    assert same_memory(one, one)
    assert not same_memory(one, other)


@pytest.mark.parametrize("change", ["tensor", "value", "key", "count"])
def test_anything_that_changed_is_answered_anew(counted, change):
    make, calls = counted
    memo, positions = LastAnswer(), torch.arange(3)
    memo.get(make, positions, key=1)
    if change == "value":
        positions += 1
    tensors = (positions.clone(),) if change == "tensor" else (positions,) * (2 if change == "count" else 1)
    memo.get(make, *tensors, key=2 if change == "key" else 1)
    assert len(calls) == 2


def test_nothing_is_kept_in_inference_mode_or_from_it(counted):
    make, calls = counted
    memo = LastAnswer()
    with torch.inference_mode():
        positions = torch.arange(3)
        memo.get(make, positions)
    memo.get(make, positions)
    memo.get(make, positions)
    assert len(calls) == 3


def test_large_answers_are_not_kept():
    memo, positions = LastAnswer(), torch.arange(3)
    first = memo.get(lambda: (torch.empty(1 << 23),), positions)
    assert memo.get(lambda: (torch.empty(1),), positions)[0] is not first[0]
    assert memo._kept[3][0].numel() == 1


def test_copies_start_empty(counted):
    make, calls = counted
    memo, positions = LastAnswer(), torch.arange(3)
    memo.get(make, positions)
    copy.deepcopy(memo).get(make, positions)
    assert len(calls) == 2


def test_tensors_inside_a_transform_are_neither_asked_for_memory_nor_kept(counted):
    make, calls = counted
    memo, made = LastAnswer(), []

    def inside(positions):
        made.append(memo.get(make, positions))
        return positions * 1.0

    torch.func.vmap(inside)(torch.arange(6).view(2, 3))
    torch.func.grad(lambda x: inside(x).sum())(torch.ones(3))
    assert len(calls) == 2
    assert memo._kept is None
