"""The battery on every registered encoding, and on encodings that each break one rule."""

import dataclasses

import pytest
import torch
from torch import nn

from milepost import testing
from milepost.encodings import Encoding, FireBias, Geometry, registered
from milepost.errors import CheckFailed, PastTheEnd, UnknownName
from milepost.spec import parse_spec
from milepost.testing import hooks
from milepost.testing.battery import CHECKS

VARIANTS = [
    "learned(past=clamp)",
    "learned(past=tile,init=sinusoidal)",
    "learned(init=zeros)",
    "sinusoidal(rms=raw,theta=500)",
    "rotary(theta=500)",
    "rotary(partial=0.5,scaling=linear(factor=4))",
    "rotary(scaling=ntk)",
    "rotary(scaling=yarn(factor=4,original=64))",
    "rotary(scaling=llama3(original=64))",
    "rotary(scaling=dynamic(original=64))",
    "rotary(scaling=longrope(original=64,factor=4,short='1 1 1 1.5',long='1 2 4 8'))",
    "learned(rank=3)",
    "learned(rank=2,init=zeros,past=tile)",
    "learned(count=on)",
    "kerple(variant=power)",
    "randomized(inner=rotary)",
    "randomized(inner=fire)",
    "shape(inner=fire)",
    "fire(threshold=32)",
    "randomized(inner=t5,max_len=50)",
    "shape(inner=learned,max_shift=7)",
    "t5(buckets=8,max_distance=20)",
    "sinusoidal2d(rms=raw,theta=50)",
    "rotary2d(theta=500)",
]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("spec", [*registered(), *VARIANTS])
def test_every_encoding_keeps_the_rules(spec, causal):
    if spec == "xpos" and not causal:
        pytest.skip("xpos refuses bidirectional models; its own tests say so")
    testing.check_encoding(spec, geometry=dataclasses.replace(testing.GEOMETRY, causal=causal))


@pytest.mark.parametrize("heads", [1, 12])
def test_they_hold_for_other_shapes_too(heads):
    geometry = Geometry(dim=16 * heads + 1, heads=heads, head_dim=16, max_len=40, grid=(3, 13), prefix=1)
    for spec in registered():
        testing.check_encoding(spec, geometry=geometry)


class Toy(Encoding):
    """A correct encoding that broken ones below are cut from."""

    def __init__(self, geometry):
        super().__init__()
        self.dim, self.limit = geometry.dim, geometry.max_len
        self.weight = nn.Parameter(torch.randn(geometry.max_len, geometry.dim))

    @classmethod
    def from_spec(cls, options, geometry):
        return cls(geometry)

    @property
    def usable_length(self):
        return self.limit

    def rows(self, positions, device=None):
        if isinstance(positions, range):
            if len(positions) and positions.stop > self.limit:
                raise PastTheEnd("too far", got="", fix="")
            return torch.arange(positions.start, positions.stop, device=self.weight.device)
        reads = positions.device.type == "cpu" and not torch.compiler.is_compiling()
        if reads and not ((positions >= 0) & (positions < self.limit)).all():
            raise PastTheEnd("too far", got="", fix="")
        return positions

    def vectors(self, positions, *, device=None):
        return nn.functional.embedding(self.rows(positions), self.weight)


class Distance(Encoding):
    """A correct bias without parameters."""

    relative = True

    def __init__(self, geometry):
        super().__init__()

    @classmethod
    def from_spec(cls, options, geometry):
        return cls(geometry)

    def bias(self, query, query_positions, key_positions, *, scaling):
        away = (query_positions[..., None] - key_positions[..., None, :]).abs()
        return -0.1 * away[..., None, :, :].float()


class WrongPlaces(Distance):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.places = frozenset({"vectors"})


class HidesAPlace(Distance):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.places = frozenset()


class DrawsInEvaluation(Distance):
    def remap(self, positions, *, batch, device=None):
        return torch.randperm(1000, device=device)[:6].sort().values


class DrawsInEvaluationOnce(Distance):
    def remap(self, positions, *, batch, device=None):
        torch.rand(1)
        return positions


class RemapsOutOfOrder(Distance):
    def remap(self, positions, *, batch, device=None):
        return torch.randperm(6) if self.training else positions


class RemapsPastTheEnd(Toy):
    def remap(self, positions, *, batch, device=None):
        return torch.arange(6) + self.limit if self.training else positions


class AnswersNothing(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        return None


class WrongShape(Toy):
    def vectors(self, positions, *, device=None):
        return super().vectors(positions)[..., :-1]


class HalfBias(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        return super().bias(query, query_positions, key_positions, scaling=scaling).to(query.dtype)


class RangeFromZero(Toy):
    def vectors(self, positions, *, device=None):
        if isinstance(positions, range):
            positions = range(len(positions)) if positions.stop <= self.limit else positions
        return super().vectors(positions)


class SeesTheLength(Toy):
    def vectors(self, positions, *, device=None):
        found = super().vectors(positions)
        return found / max(found.shape[-2], 1)


class SharesThePositionsOfTheFirst(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        if query_positions.ndim == 2:
            query_positions, key_positions = query_positions[:1], key_positions[:1]
        return super().bias(query, query_positions, key_positions, scaling=scaling)


class AbsoluteInDisguise(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        right = super().bias(query, query_positions, key_positions, scaling=scaling)
        return right * (1 + query_positions[..., None, :, None])


class CountsFromTheHundredth(Distance):
    """Relative up to a place that its ``relative`` conceals."""

    thresholds = (100,)

    def bias(self, query, query_positions, key_positions, *, scaling):
        right = super().bias(query, query_positions, key_positions, scaling=scaling)
        return right * (1 + (query_positions >= 100)[..., None, :, None])


class ContinuesACache(Distance):
    """Spreads its positions over a fixed range and does not say that it needs the whole input."""

    relative = False

    def remap(self, positions, *, batch, device=None):
        if isinstance(positions, range):
            positions = torch.arange(positions.stop, device=device)
        return positions * 4096 // (positions.amax(-1, keepdim=True) + 1)


class WithBuffer(Toy):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.register_buffer("ids", torch.arange(4), persistent=False)


class WithFloatBuffer(Toy):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.register_buffer("slopes", torch.ones(4))


class BuiltOnce(Distance):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.slope = torch.tensor(0.1)  # a constant that the meta device swallows

    def bias(self, query, query_positions, key_positions, *, scaling):
        return super().bias(query, query_positions, key_positions, scaling=scaling) * self.slope


class OutsideTheState(Toy):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.hidden = torch.randn(geometry.dim).tolist()

    def vectors(self, positions, *, device=None):
        return super().vectors(positions) + torch.tensor(self.hidden)


class NoPickle(Distance):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.double = lambda x: x


class PositionsInComputeDtype(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        at, keys = query_positions.to(query.dtype), key_positions.to(query.dtype)
        return super().bias(query, at, keys, scaling=scaling)


class Detached(Toy):
    def vectors(self, positions, *, device=None):
        return super().vectors(positions).detach() + 0 * self.weight.sum()


class Unused(Toy):
    def __init__(self, geometry):
        super().__init__(geometry)
        self.extra = nn.Parameter(torch.zeros(3))


class BreaksTheGraph(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        torch._dynamo.graph_break()
        return super().bias(query, query_positions, key_positions, scaling=scaling)


class WrapsAround(Toy):
    def rows(self, positions, device=None):
        if isinstance(positions, range):
            positions = torch.arange(positions.start, positions.stop, device=self.weight.device)
        return positions % self.limit


class PromisesTooMuch(Toy):
    @property
    def usable_length(self):
        return None


class Random(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        right = super().bias(query, query_positions, key_positions, scaling=scaling)
        return right + torch.rand(()) * 1e-3


class ReadsTheDevice(Distance):
    def bias(self, query, query_positions, key_positions, *, scaling):
        if query_positions.max().item() > 10**6:
            raise PastTheEnd("too far", got="", fix="")
        return super().bias(query, query_positions, key_positions, scaling=scaling)


class AnswersOnTheCpu(Toy):
    def vectors(self, positions, *, device=None):
        found = super().vectors(positions)
        return torch.zeros(found.shape) if found.is_meta else found


class WritesInPlace(Toy):
    def embed(self, embeddings, positions=None):
        return embeddings.add_(self.vectors(range(embeddings.shape[-2]) if positions is None else positions))


class WildScale(Toy):
    @property
    def scales(self):
        return {"std": float("nan")}


BROKEN = {
    WrongPlaces: "places",
    AnswersNothing: "places",
    HidesAPlace: "places",
    DrawsInEvaluation: "remap",
    DrawsInEvaluationOnce: "remap",
    RemapsOutOfOrder: "remap",
    RemapsPastTheEnd: "remap",
    WrongShape: "shapes",
    HalfBias: "shapes",
    RangeFromZero: "range",
    SeesTheLength: "prefix",
    SharesThePositionsOfTheFirst: "batch",
    AbsoluteInDisguise: "shift",
    CountsFromTheHundredth: "padding",
    ContinuesACache: "padding",
    WithBuffer: "buffers",
    WithFloatBuffer: "buffers",
    BuiltOnce: "state",
    OutsideTheState: "state",
    NoPickle: "copies",
    PositionsInComputeDtype: "half",
    Detached: "gradient",
    Unused: "gradient",
    BreaksTheGraph: "compile",
    WrapsAround: "limit",
    PromisesTooMuch: "limit",
    Random: "deterministic",
    ReadsTheDevice: "device",
    AnswersOnTheCpu: "device",
    WritesInPlace: "inputs",
    WildScale: "scales",
}


@pytest.mark.parametrize("correct", [Toy, Distance])
def test_the_encodings_that_broken_ones_are_cut_from_are_whole(correct):
    testing.check_encoding(correct)


@pytest.mark.parametrize(
    ("broken", "check"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", item)
)
def test_a_broken_encoding_is_caught_by_name(broken, check):
    results = testing.check_encoding(broken, raise_on_failure=False)
    failed = {result.name for result in results if result.status == "failed"}
    assert check in failed
    with pytest.raises(CheckFailed, match=f"fails .*{check}"):
        testing.check_encoding(broken)


def test_the_battery_sees_a_bias_that_takes_positions_for_distances(monkeypatch):
    monkeypatch.setattr(FireBias, "relative", True)
    for spec in ("fire", "fire(threshold=32)"):
        results = testing.check_encoding(spec, raise_on_failure=False)
        assert "padding" in {r.name for r in results if r.status == "failed"}


def test_a_spec_that_does_not_read_back_is_caught(monkeypatch):
    monkeypatch.setattr(hooks, "canonical", lambda spec: parse_spec("rotary(theta=7)"))
    results = testing.check_encoding("rotary(theta=5)", raise_on_failure=False)
    assert {r.name for r in results if r.status == "failed"} == {"spec"}


def test_every_check_has_a_broken_encoding():
    assert {*BROKEN.values(), "spec"} == set(CHECKS)


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    testing.check_encoding("learned")
    assert torch.equal(torch.rand(1), wanted)


def test_a_misspelt_spec_is_the_callers_error():
    with pytest.raises(UnknownName):
        testing.check_encoding("lerned")
