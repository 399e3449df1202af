"""What only a GPU can show: nothing waits for the device, nothing breaks it, and answers are those of the CPU."""

import contextlib
import copy
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from milepost import LearnedPositions
from milepost.encodings import Geometry, build
from milepost.errors import PastTheEnd
from milepost.models import swap
from milepost.models.check import self_test
from milepost.models.swapping import _swap

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU on this machine"),
    pytest.mark.filterwarnings("default:Milepost is not tested with"),
]
SCALED = ("rotary(scaling=yarn(factor=4))", "rotary(scaling=dynamic(factor=2,original=8))")
OTHER = ("randomized", "randomized(inner=alibi)", "shape", "sinusoidal", "kerple", "sandwich", "shaw", "xpos")
ENCODINGS = ("learned", "rotary", *SCALED, "alibi", "t5", "fire", *OTHER)


@pytest.fixture
def model(make_gpt2):
    """A maker of tiny GPT-2 models on the GPU, stock ones without an encoding."""

    def make(encoding=None, dtype=torch.float32):
        made = make_gpt2().to("cuda", dtype)
        return made if encoding is None else swap(made, encoding).eval()

    return make


@pytest.fixture
def ids(tokens):
    return tokens.cuda()


@contextlib.contextmanager
def waits_are(mode):
    """Let torch report (``warn``) or refuse (``error``) each operation that waits for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def find_waits(call):
    """Lines that wait for the GPU in a call, by file and number."""
    with warnings.catch_warnings(record=True) as caught, waits_are("warn"):
        warnings.simplefilter("always")
        call()
    return Counter(
        (Path(one.filename).name, one.lineno) for one in caught if "synchronizing CUDA" in str(one.message)
    )


def test_waits_are_found():
    number = torch.ones((), device="cuda")
    assert len(find_waits(number.item)) == 1
    with waits_are("error"), pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        number.item()


# ---- positions without a row


@pytest.mark.parametrize("wrong", [8, 10**12, -1])
def test_a_position_without_a_row_is_nan_and_an_error_later_and_leaves_the_gpu_usable(wrong):
    table = LearnedPositions(8, 4).cuda()
    vectors = table.vectors(torch.tensor([[0, wrong, 7]], device="cuda"))
    torch.cuda.synchronize()  # an index outside of the table would surface here
    assert vectors[0, 1].isnan().all()
    assert torch.equal(vectors[0, ::2], table.weight[[0, 7]])
    with pytest.raises(PastTheEnd, match="MP101"):
        table.check_positions_seen()
    table.check_positions_seen()  # one error for one mistake
    assert torch.ones(4, device="cuda").sum().item() == 4


def test_the_next_call_raises_what_an_earlier_one_put_off():
    table = LearnedPositions(8, 4).cuda()
    good = torch.arange(8, device="cuda")
    table.vectors(good + 1)
    torch.cuda.synchronize()
    with pytest.raises(PastTheEnd, match="position 8 "):
        table.vectors(good)
    assert torch.equal(table.vectors(good), table.weight)


def test_a_position_without_a_row_gets_no_gradient():
    table = LearnedPositions(8, 4).cuda()
    table.vectors(torch.tensor([3, 8], device="cuda"))[:1].sum().backward()
    assert table.weight.grad[3].tolist() == [1.0] * 4
    assert table.weight.grad.sum().item() == 4.0


def test_position_ids_without_a_row_in_a_model(model, ids):
    swapped = model("learned")
    places = torch.arange(12, device="cuda").repeat(3, 1)
    places[1, 5] = 32
    with torch.no_grad():
        logits = swapped(ids, position_ids=places).logits
    torch.cuda.synchronize()
    assert logits[::2].isfinite().all()  # the other sequences
    assert logits[1, 5:].isnan().all()
    with pytest.raises(PastTheEnd, match="position 32 "):
        swapped.base_model.milepost.check_positions_seen()


def test_a_captured_graph_answers_nan_and_may_be_captured_after_other_calls():
    table = LearnedPositions(8, 4).cuda().eval()
    positions = torch.arange(8, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):
        table.vectors(positions)  # its verdict is not read yet when the capture begins
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        vectors = table.vectors(positions)
    graph.replay()
    assert torch.equal(vectors, table.weight)
    positions += 4
    graph.replay()
    assert torch.equal(vectors[:4], table.weight[4:]) and vectors[4:].isnan().all()


# ---- nothing waits


@pytest.mark.parametrize("training", [False, True])
def test_a_table_does_not_make_the_host_wait(training):
    table = LearnedPositions(8, 4, count=True).cuda().train(training)
    positions = torch.arange(8, device="cuda").repeat(2, 1)
    tokens = torch.zeros(2, 8, 4, device="cuda")
    with waits_are("error"):
        for given in (None, positions, positions + 1):
            table(tokens, given)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_swapped_model_waits_no_more_than_the_stock_one(model, ids, encoding, mode, masked):
    stock, swapped = model(), model(encoding)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    inputs = {"attention_mask": mask} if masked else {}
    with mode():  # transformers itself reads masks, and looks for pads in the tokens where there is no mask
        allowed = find_waits(lambda: stock(ids, use_cache=False, **inputs))
        found = find_waits(lambda: swapped(ids, use_cache=False, **inputs))
    assert not found - allowed


# ---- the answers


@pytest.mark.parametrize("encoding", ["learned", "rotary", "alibi"])
@pytest.mark.parametrize("padded", [False, True])
def test_chunks_through_a_cache_equal_the_whole(model, ids, cached, encoding, padded):
    swapped, cache = model(encoding), DynamicCache()
    mask = torch.ones_like(ids)
    mask[0, :3] = 0 if padded else 1
    with torch.no_grad():
        whole = swapped(ids, attention_mask=mask, use_cache=False).logits
        parts = [
            swapped(ids[:, start:stop], attention_mask=mask[:, :stop], **cached(swapped, cache)).logits
            for start, stop in ((0, 5), (5, 9), (9, 10), (10, 12))
        ]
    real = mask.bool()
    torch.testing.assert_close(torch.cat(parts, 1)[real], whole[real], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_model_answers_as_on_the_cpu(model, ids, encoding):
    swapped = model(encoding)
    with torch.no_grad():
        there = swapped(ids, use_cache=False).logits.cpu()
        here = swapped.cpu()(ids.cpu(), use_cache=False).logits
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_swapping_in_the_own_table_changes_no_bit_in_bfloat16(model, ids, masked):
    inputs = {"attention_mask": torch.ones_like(ids)} if masked else {}
    with torch.no_grad():
        stock = model(dtype=torch.bfloat16)(ids, **inputs).logits
        swapped = model("learned", torch.bfloat16)(ids, **inputs).logits
    assert swapped.dtype == torch.bfloat16
    assert torch.equal(swapped, stock)


def test_randomized_draws_the_same_positions_for_evaluation_as_on_the_cpu():
    here = build("randomized(inner=alibi,max_len=2048)", Geometry(32, 4, 8, 32)).eval()
    there = copy.deepcopy(here).cuda()
    state = torch.cuda.get_rng_state()
    whole = there.remap(range(100), batch=1, device="cuda")
    assert torch.equal(whole.cpu(), here.remap(range(100), batch=1))
    places = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]])
    assert torch.equal(there.remap(places.cuda(), batch=2).cpu(), here.remap(places, batch=2))
    assert torch.equal(torch.cuda.get_rng_state(), state)


@pytest.mark.parametrize("default", ["cpu", "cuda"])
def test_the_self_test_passes_beside_a_gpu(default):
    with torch.device(default):
        assert self_test.run_self_test(_swap) == []
