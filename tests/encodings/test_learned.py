import copy
import pickle

import pytest
import torch

from milepost.encodings import Geometry, LearnedPositions, build
from milepost.errors import OptionError, PastTheEnd


def table(rows=8, dim=4, **options):
    torch.manual_seed(0)
    return LearnedPositions(rows, dim, **options)


@pytest.fixture
def device(monkeypatch):
    """Tensors of the CPU are taken for those of a device, on whose values nothing waits."""
    monkeypatch.setattr("milepost.encodings.table.is_at_host", lambda tensor: False)


def test_the_table_of_bert_has_393216_parameters():
    made = LearnedPositions(512, 768, device="meta")
    assert [(name, tuple(p.shape)) for name, p in made.named_parameters()] == [("weight", (512, 768))]
    assert made.weight.numel() == 393_216
    assert LearnedPositions(2048, 12288, device="meta").weight.numel() == 25_165_824


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_normal_initialisation_has_its_scale(std):
    made = table(400, 64, std=std)
    assert made.weight.std().item() == pytest.approx(std, rel=0.03)
    assert made.weight.mean().item() == pytest.approx(0, abs=std / 50)
    assert made.scales == {"std": std}


def test_zeros_and_sinusoidal_initialisation():
    assert not table(init="zeros").weight.any()
    assert table(init="zeros").scales == {"std": 0.0}
    made = table(32, 8, init="sinusoidal", std=0.1)
    assert made.weight.square().mean().sqrt().item() == pytest.approx(0.1, rel=1e-5)
    twin = build("sinusoidal(rms=0.1)", Geometry(8, 2, 4, 32))
    assert torch.equal(made.weight, twin.vectors(range(32)))


def test_the_scale_follows_the_embeddings_unless_the_spec_says_otherwise():
    geometry = Geometry(8, 2, 4, 16, embedding_rms=0.3)
    assert build("learned", geometry).scales == {"std": 0.3}
    assert build("learned(std=0.07)", geometry).scales == {"std": 0.07}


def test_rows_of_the_spec_take_the_place_of_those_of_the_model():
    geometry = Geometry(8, 2, 4, 16)
    made = build("learned(rows=40)", geometry)
    assert made.usable_length == 40
    assert made.vectors(range(30, 40)).shape == (10, 8)
    assert build("learned(rows=12,rank=3)", geometry).usable_length == 12
    assert build("learned(rows=0)", geometry).usable_length == 16
    with pytest.raises(OptionError, match="rows must be a whole number, 0 or more"):
        build("learned(rows=-1)", geometry)


def test_rows_past_the_trained_length_keep_their_initial_values():
    made = build("learned(rows=40)", Geometry(8, 2, 4, 16))
    before = made.weight.detach().clone()
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.1, weight_decay=0.0)
    made(torch.randn(2, 16, 8)).square().sum().backward()
    optimizer.step()
    assert torch.equal(made.weight[16:], before[16:])
    assert not torch.equal(made.weight[:16], before[:16])


def test_from_table_copies_and_keeps_dtype():
    rows = torch.randn(5, 3, dtype=torch.bfloat16)
    made = LearnedPositions.from_table(rows)
    assert torch.equal(made.weight, rows)
    assert made.weight.dtype == torch.bfloat16
    assert made.scales["std"] == pytest.approx(rows.float().square().mean().sqrt().item())
    rows.zero_()
    assert made.weight.any()
    with pytest.raises(OptionError, match="two axes"):
        LearnedPositions.from_table(torch.zeros(1, 5, 3))


def test_contiguous_positions_are_a_view_of_the_table():
    made = table()
    assert made.vectors(range(2, 6)).data_ptr() == made.weight[2].data_ptr()
    assert made.vectors(range(2, 2)).shape == (0, 4)


def test_addition_is_element_wise_in_every_way_of_naming_positions():
    made, embeddings = table(), torch.randn(3, 5, 4)
    wanted = torch.stack([row + made.weight[:5] for row in embeddings])
    for positions in (None, range(5), torch.arange(5), torch.arange(5).expand(3, 5)):
        assert torch.equal(made(embeddings, positions), wanted)


def test_past_the_end_names_both_numbers_and_the_fix():
    text = (
        "[MP101] position 8 is past the end of the table\n"
        "  got: 8 usable positions, largest position asked for 8\n"
        "  fix: shorten the input, or grow the table: milepost extend MODEL --to 16"
    )
    made = table()
    for ask in (
        lambda: made(torch.zeros(1, 9, 4)),
        lambda: made.vectors(range(8, 9)),
        lambda: made.vectors(torch.tensor([[0, 8]])),
    ):
        with pytest.raises(PastTheEnd) as caught:
            ask()
        assert str(caught.value) == text
        assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("past", ["error", "clamp", "tile"])
def test_negative_positions_never_wrap(past):
    made = table(past=past)
    for positions in (torch.tensor([0, -1]), range(-1, 2)):
        with pytest.raises(PastTheEnd, match="position -1 lies before the first row"):
            made.vectors(positions)


def test_overflow_rules_answer_past_the_end_alike_for_ranges_and_tensors():
    for past, rows in (("clamp", [6, 7, 7, 7]), ("tile", [6, 7, 0, 1])):
        made = table(past=past)
        assert made.usable_length is None
        assert torch.equal(made.vectors(range(6, 10)), made.weight[rows])
        assert torch.equal(made.vectors(torch.tensor([6, 7, 8, 9])), made.weight[rows])
    assert table().usable_length == 8


def test_positions_in_floating_point_are_refused():
    with pytest.raises(OptionError, match="whole numbers"):
        table().vectors(torch.zeros(3))


@pytest.mark.usefixtures("device")
def test_on_a_device_a_missing_row_is_nan_and_the_error_comes_later():
    made = table()
    vectors = made.vectors(torch.tensor([[0, 8], [-1, 7]]))
    assert vectors.isnan().all(-1).tolist() == [[False, True], [True, False]]
    with pytest.raises(PastTheEnd, match="position -1"):
        made.check_positions_seen()
    made.check_positions_seen()  # told once


@pytest.mark.usefixtures("device")
def test_on_a_device_the_next_forward_raises_by_itself():
    made = table()
    made.vectors(torch.tensor([9]))
    with pytest.raises(PastTheEnd, match="position 9"):
        made.vectors(torch.tensor([0]))
    assert made.vectors(torch.tensor([0])).isfinite().all()


@pytest.mark.parametrize("past", ["error", "clamp", "tile"])
def test_the_device_path_answers_as_the_checked_one(past, request):
    positions = torch.tensor([[0, 3, 7], [1, 1, 2]])
    if past != "error":
        positions = positions + 6
    checked = table(past=past).vectors(positions)
    request.getfixturevalue("device")
    assert torch.equal(table(past=past).vectors(positions), checked)


def test_no_value_is_read_from_a_device():
    made = table(device="meta")
    assert made(
        torch.empty(2, 5, 4, device="meta"), torch.zeros(2, 5, dtype=torch.int64, device="meta")
    ).is_meta
    assert not made._deferred._pending
    with pytest.raises(PastTheEnd):  # lengths are known without the device
        made(torch.empty(2, 9, 4, device="meta"))


@pytest.mark.usefixtures("device")
def test_a_missing_row_gets_no_gradient_on_a_device():
    made = table()
    made.vectors(torch.tensor([2, 30])).nan_to_num().sum().backward()
    assert made.weight.grad.any(-1).nonzero().flatten().tolist() == [2]
    with pytest.raises(PastTheEnd):
        made.check_positions_seen()


@pytest.mark.usefixtures("device")
def test_a_copy_has_nothing_pending():
    made = table()
    made.vectors(torch.tensor([9]))
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301 - our own bytes
        other.check_positions_seen()
        assert torch.equal(other.weight, made.weight)
    with pytest.raises(PastTheEnd):
        made.check_positions_seen()


def test_compiled_explicit_positions_are_nan_past_the_end():
    made = table()
    torch.compiler.reset()
    compiled = torch.compile(made.vectors, fullgraph=True, backend="eager")
    got = compiled(torch.tensor([1, 8]))
    assert torch.equal(got[0], made.weight[1])
    assert got[1].isnan().all()


def test_a_compiled_length_past_the_end_is_an_error():
    torch.compiler.reset()
    compiled = torch.compile(table(), backend="eager")
    assert compiled(torch.zeros(1, 8, 4)).shape == (1, 8, 4)
    with pytest.raises(IndexError):
        compiled(torch.zeros(1, 9, 4))


def test_the_gradient_is_the_sum_over_the_batch_and_repeats_bit_for_bit():
    embeddings = torch.randn(64, 6, 4)
    weights = torch.randn(64, 6, 4)
    gradients = []
    for positions in (None, None, torch.arange(6).expand(64, 6)):
        made = table()
        (made(embeddings, positions) * weights).sum().backward()
        gradients.append(made.weight.grad)
    assert torch.equal(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[2], gradients[0])
    torch.testing.assert_close(gradients[0][:6], weights.sum(0))
    assert not gradients[0][6:].any()


def test_half_precision_keeps_every_position():
    made = LearnedPositions.from_table(torch.arange(4097.0)[:, None]).bfloat16()
    positions = torch.arange(4097)
    assert torch.equal(made.vectors(positions), made.weight)


def test_reset_gives_initial_values_again():
    made = table(init="zeros")
    made.weight.data.fill_(3.0)
    made.reset_parameters()
    assert not made.weight.any()


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(OptionError, match="at least 1"):
        LearnedPositions(*sizes)
