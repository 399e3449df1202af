"""Graphs of torch: what is recorded at one length answers at others."""

import io
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.fx.experimental.proxy_tensor import make_fx

from milepost.encodings import (
    FrontShape,
    Geometry,
    LearnedPositions,
    SinusoidalPositions,
    TokenAndPositionEmbedding,
    build,
    registered,
)
from milepost.errors import OptionError, PastTheEnd

TABLES = ["learned", "learned(past=clamp)", "learned(past=tile)", "learned(past=group)", "learned(rank=2)"]
ADDING = [name for name, cls in registered().items() if "vectors" in cls.places and name != "learned"]
ROWS = 16


class Layer(nn.Module):
    """An encoding as a module, whatever its class."""

    def __init__(self, spec):
        super().__init__()
        torch.manual_seed(0)
        self.encoding = build(spec, Geometry(4, 2, 2, ROWS, grid=(4, 4) if spec.endswith("2d") else None))

    def forward(self, embeddings):
        return self.encoding.embed(embeddings)


def embeddings(length):
    return torch.randn(2, length, 4, generator=torch.Generator().manual_seed(length))


def require_same_at_other_lengths(layer, recorded, *, exact=True):
    """Numbers of the layer inside the table; NaN or an error past it, where the layer has an error."""
    for length in (2, 9, ROWS, ROWS + 1, 3 * ROWS):
        given = embeddings(length)
        try:
            wanted = layer(given)
        except PastTheEnd:
            assert length > ROWS
            found = recorded(given)
            assert torch.equal(found.isnan().all(-1), (torch.arange(length) >= ROWS).expand(2, -1))
        else:
            tolerance = 0.0 if exact else 1e-6
            torch.testing.assert_close(recorded(given), wanted, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda layer, given: layer(given[:, :5]),
        lambda layer, given: layer(given) if given.shape[1] == 5 else layer(given) + 1e-6,
        lambda layer, given: layer(given) if given.shape[1] <= ROWS else torch.zeros_like(given),
    ],
    ids=["a fixed length", "other numbers", "numbers past the end"],
)
def test_a_wrong_graph_is_found(wrong):
    layer = Layer("learned").eval()
    with pytest.raises(AssertionError):
        require_same_at_other_lengths(layer, lambda given: wrong(layer, given))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("spec", [*TABLES, *ADDING])
def test_an_exported_graph_answers_at_other_lengths(spec, strict):
    layer = Layer(spec).eval()
    program = torch.export.export(layer, (embeddings(5),), dynamic_shapes=({1: Dim("seq")},), strict=strict)
    require_same_at_other_lengths(layer, program.module())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("spec", [*TABLES, "sinusoidal"])
def test_a_traced_module_does_not_fix_the_length(spec):
    layer = Layer(spec).eval()
    layer(embeddings(5))  # what an encoding keeps between calls must not become a constant
    require_same_at_other_lengths(layer, torch.jit.trace(layer, (embeddings(5),)))


@pytest.mark.parametrize("spec", [*TABLES, "sinusoidal"])
def test_symbolic_shapes_do_not_fix_the_length(spec):
    layer = Layer(spec).eval()
    weights = dict(layer.named_parameters())

    def call(weights, given):
        return torch.func.functional_call(layer, weights, (given,))

    graph = make_fx(call, tracing_mode="symbolic")(weights, embeddings(5))
    require_same_at_other_lengths(layer, lambda given: graph(weights, given))


@pytest.mark.filterwarnings("ignore")  # the exporters' own, about versions to come
@pytest.mark.parametrize("spec", ["learned", "learned(past=tile)", "learned(rank=2)"])
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "legacy"])
def test_onnx_runs_at_other_lengths(spec, dynamo):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer, file = Layer(spec).eval(), io.BytesIO()
    if dynamo:
        program = torch.onnx.export(
            layer, (embeddings(5),), dynamic_shapes=({0: Dim("batch"), 1: Dim("seq")},), verbose=False
        )
        program.save(file)
    else:
        axes = {"embeddings": {0: "batch", 1: "seq"}}
        torch.onnx.export(
            layer, (embeddings(5),), file, dynamo=False, input_names=["embeddings"], dynamic_axes=axes
        )
    session = runtime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])

    def run(given):
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: given.numpy()})[0])

    require_same_at_other_lengths(layer, run, exact="rank" not in spec)


class Constant(nn.Module):
    """Fixes the length, as a layer that asks for a ``range`` of it."""

    def forward(self, embeddings):
        return embeddings + torch.ones(int(embeddings.shape[-2]), 1)


def test_the_check_of_other_lengths_can_fail():
    layer = Layer("learned(past=clamp)").eval()
    with pytest.raises(AssertionError):
        require_same_at_other_lengths(layer, lambda given: given + layer(embeddings(5))[:, :1])
    with pytest.raises(Exception, match="seq"):
        torch.export.export(Constant(), (embeddings(5),), dynamic_shapes=({1: Dim("seq")},))


def compilations(call, inputs):
    """How often ``torch.compile`` compiles for these inputs."""
    torch.compiler.reset()
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(call, backend=count)
    for given in inputs:
        compiled(given)
    return len(graphs)


FIFTEEN = range(2, 17)


@pytest.mark.parametrize("spec", [*TABLES, "learned(count=on)", "sinusoidal"])
def test_fifteen_lengths_are_compiled_twice(spec):
    assert compilations(Layer(spec), map(embeddings, FIFTEEN)) <= 2


def test_the_count_of_compilations_sees_those_of_a_range():
    table = LearnedPositions(ROWS, 4)
    assert compilations(lambda given: table(given, range(given.shape[1])), map(embeddings, range(2, 7))) > 2


def test_the_front_is_compiled_twice_and_exported_with_any_length():
    torch.manual_seed(0)
    for first_row in (0, 2):
        front = TokenAndPositionEmbedding(FrontShape(50, 4, ROWS, first_row, epsilon=1e-5)).eval()
        inputs = [torch.arange(length)[None].expand(2, -1) for length in range(2, 17 - first_row)]
        assert compilations(front, inputs) <= 2
        program = torch.export.export(front, (inputs[3],), dynamic_shapes=({1: Dim("seq")},)).module()
        for tokens in inputs:
            torch.testing.assert_close(program(tokens), front(tokens))
        assert program(torch.ones(2, 20, dtype=torch.int64))[0].isnan().any(-1).sum() == 4 + first_row


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_traced_front_fixes_neither_the_batch_nor_the_length():
    front = TokenAndPositionEmbedding(FrontShape(50, 512, 160)).eval()
    with torch.no_grad():
        traced = torch.jit.trace(front, (torch.arange(40).repeat(2, 4),))  # enough to go by sequence
        for shape in ((3, 160), (1, 20)):
            tokens = torch.randint(0, 50, shape, generator=torch.Generator().manual_seed(0))
            torch.testing.assert_close(traced(tokens), front(tokens))


@pytest.mark.parametrize("past", ["error", "clamp"])
def test_a_compiled_length_past_the_end_is_an_error_once_lengths_are_dynamic(past):
    torch.compiler.reset()
    layer = Layer(f"learned(past={past})")
    compiled = torch.compile(layer, backend="eager")
    for length in (4, 7, 9):
        assert torch.equal(compiled(embeddings(length)), layer(embeddings(length)))
    if past == "clamp":
        assert torch.equal(compiled(embeddings(ROWS + 1)), layer(embeddings(ROWS + 1)))
    else:
        with pytest.raises(IndexError):
            compiled(embeddings(ROWS + 1))


@pytest.mark.parametrize("spec", TABLES)
def test_compiled_gradients_at_other_lengths_are_the_same(spec):
    torch.compiler.reset()
    layer = Layer(spec)
    compiled = torch.compile(layer, backend="aot_eager")
    for length in (4, 7, 9):
        gradients = []
        for call in (layer, compiled):
            layer.zero_grad()
            call(embeddings(length)).square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
        for wanted, found in zip(*gradients, strict=True):
            torch.testing.assert_close(found, wanted)


def test_the_example_of_the_page_runs():
    page = Path(__file__).parents[2] / "docs" / "encodings.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    exec(compile(block, page.name, "exec"), {})


# ---- vmap


@pytest.mark.parametrize("spec", TABLES)
def test_vmap_over_positions_answers_as_one_call(spec):
    encoding = Layer(spec).encoding
    positions = torch.tensor([[0, 3, 3], [1, 15, 2]])
    wanted = encoding.vectors(positions)
    torch.testing.assert_close(torch.vmap(encoding.vectors)(positions), wanted)
    torch.testing.assert_close(torch.vmap(torch.vmap(encoding.vectors))(positions), wanted)
    torch.testing.assert_close(torch.vmap(encoding.vectors, in_dims=1, out_dims=1)(positions), wanted)


def test_vmap_over_positions_past_the_end_is_an_error():
    table = LearnedPositions(ROWS, 4)
    for wrong in (ROWS, -1):
        with pytest.raises(PastTheEnd, match=f"position {wrong} "):
            torch.vmap(table.vectors)(torch.tensor([[0], [wrong]]))


def test_vmap_counts_the_rows_of_the_whole_batch():
    table = LearnedPositions(6, 4, count=True)
    torch.vmap(table.vectors)(torch.tensor([[0, 1], [1, 4]]))
    assert table.trained_counts.tolist() == [1, 1, 0, 0, 1, 0]


def test_vmap_over_embeddings_and_positions_and_per_sample_gradients():
    table, given = LearnedPositions(ROWS, 4), embeddings(5)
    positions = torch.tensor([[0, 1, 2, 3, 4], [4, 4, 4, 4, 4]])
    torch.testing.assert_close(torch.vmap(table)(given), table(given))
    torch.testing.assert_close(torch.vmap(table)(given, positions), table(given, positions))

    def loss(weight, one, places):
        return torch.func.functional_call(table, {"weight": weight}, (one, places)).square().sum()

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(table.weight.detach(), given, positions)
    table(given, positions).square().sum().backward()
    torch.testing.assert_close(each.sum(0), table.weight.grad)


# ---- token ids by mistake


@pytest.mark.parametrize(
    "encoding",
    [LearnedPositions(ROWS, 4), SinusoidalPositions(4), build("none", Geometry(4, 2, 2, 8))],
    ids=["learned", "sinusoidal", "none"],
)
@pytest.mark.parametrize(
    "wrong",
    [torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, 4, dtype=torch.bool), torch.ones(4)],
    ids=["ids", "bool", "one axis"],
)
def test_token_ids_instead_of_embeddings_are_refused(encoding, wrong):
    with pytest.raises(OptionError, match=r"MP105.*token embeddings(?s:.*)pass the token embeddings"):
        encoding.embed(wrong)
