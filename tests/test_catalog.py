"""What the catalogue accepts is what ``cost`` prices and ``build`` builds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.catalog import (
    BUILT_IN,
    CLASSES,
    CostFormula,
    EncodingRow,
    Geometry,
    Sizes,
    Work,
    find_row,
    read_spec,
    require,
    rows,
)
from milepost.catalog.rotary import SCALINGS
from milepost.diagnostics.cost import price
from milepost.encodings import Encoding, build, canonical, registered
from milepost.encodings.base import register
from milepost.errors import MilepostError, OptionError, SpecError, UnknownName
from milepost.options import Option, SpecOptions, whole
from milepost.spec import Spec, Value, parse_spec

NAMES = sorted(BUILT_IN)
NUMBERS = st.sampled_from([-1, 0, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 7, 8, 16, 32.5, 64, 500, 10_000, 1e20])
JUNK = st.sampled_from(["auto", "wide", "1 1", Spec("wide"), Spec("none", {"deep": 1}), Spec("linear")])


def values(option: Option, depth: int) -> st.SearchStrategy[Value]:
    """Values for an option: those it takes most often, others too."""
    if option.kind == "spec":
        inside = (
            NAMES if option.inside is find_row("randomized").options["inner"].inside else sorted(SCALINGS)
        )
        return specs(inside, option, depth + 1) if depth < 3 else st.just(option.default)
    likely = st.sampled_from([*option.words, option.default])
    if option.kind == "text":
        pairs = st.integers(1, 8).map(lambda count: " ".join(["1.5"] * count))
        return pairs | likely
    return likely | NUMBERS if "number" in option.kind else likely


def specs(names: list[str], of: Option | None = None, depth: int = 0) -> st.SearchStrategy[Spec]:
    """Random specs, most of them right in most of their options."""

    def options(name: str) -> st.SearchStrategy[Spec]:
        known = find_row(name).options if of is None or of.inside is None else of.inside(name)
        one = {key: values(option, depth) for key, option in known.items()}
        right = st.fixed_dictionaries({}, optional=one)
        wrong = st.dictionaries(st.sampled_from([*known, "speed"]), JUNK | NUMBERS, max_size=1)
        return st.builds(
            lambda a, b, mix: Spec(name, {**a, **b} if mix == 0 else a), right, wrong, st.integers(0, 3)
        )

    return st.sampled_from(names).flatmap(options)


GEOMETRIES = st.builds(
    Geometry,
    dim=st.integers(1, 24),
    heads=st.integers(1, 4),
    head_dim=st.sampled_from([1, 2, 4, 6, 8, 16]),
    max_len=st.integers(1, 40),
    causal=st.booleans(),
    grid=st.none() | st.tuples(st.integers(1, 6), st.integers(1, 6)),
    prefix=st.integers(0, 2),
)


def sizes_of(model: Geometry) -> Sizes:
    known = asdict(model)
    del known["embedding_rms"], known["rotary"]
    return Sizes(layers=2, kv_heads=model.heads, **known)


def refusal(call: object, *given: object) -> type[MilepostError] | None:
    try:
        call(*given)  # type: ignore[operator]
    except MilepostError as error:
        assert str(error).count("\n") == 2
        return type(error)
    return None


def built(spec: Spec, model: Geometry) -> Encoding:
    with torch.device("meta"):
        return build(spec, model)


@settings(max_examples=300, deadline=None)
@given(specs(NAMES), GEOMETRIES)
def test_the_catalogue_cost_and_build_accept_the_same_specs(spec: Spec, model: Geometry) -> None:
    refused = refusal(require, spec, model)
    assert refusal(built, spec, model) is refused
    assert refusal(price, spec, sizes_of(model)) is refused
    assert refused in (None, OptionError, SpecError, UnknownName)
    if refused is None:
        encoding, priced = built(spec, model), price(spec, sizes_of(model))
        assert priced.parameters == sum(one.numel() for one in encoding.parameters())
        assert priced.usable_length == encoding.usable_length
        assert frozenset(priced.row.places) == encoding.places


@settings(max_examples=300, deadline=None)
@given(specs(NAMES), GEOMETRIES)
def test_constructors_refuse_what_the_catalogue_refuses(spec: Spec, model: Geometry) -> None:
    """A row refuses before anything is built; without it, the constructor has the same answer."""
    if refusal(read_spec, spec) is None:
        known, options = read_spec(spec)
        cls = registered()[known.name]
        with torch.device("meta"):
            assert refusal(cls.from_spec, options, model) is refusal(known.require, options, model)


@given(specs(NAMES))
def test_a_canonical_spec_reads_back_and_means_the_same(spec: Spec) -> None:
    if refusal(canonical, spec) is None:
        short = canonical(spec)
        assert canonical(parse_spec(str(short))) == short
        assert read_spec(short) == read_spec(spec)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("t5(buckets=32.5)", SpecError),
        ("fire(width=0)", OptionError),
        ("learned(rank=1.5)", SpecError),
        ("learned(rank=99)", OptionError),
        ("learned(rank=2,init=sinusoidal)", OptionError),
        ("randomized(inner=t5(buckets=7))", OptionError),
        ("randomized(inner=learned2d)", OptionError),
        ("shape(inner=rotery)", UnknownName),
        ("rotary(scaling=linear(factor=0.5))", OptionError),
        ("learned2d", OptionError),
    ],
)
def test_what_cost_once_priced_and_nothing_could_build_is_refused_by_both(
    spec: str, error: type[MilepostError]
) -> None:
    model = Geometry(dim=8, heads=2, head_dim=4, max_len=16)
    assert (
        refusal(built, parse_spec(spec), model) is refusal(price, parse_spec(spec), sizes_of(model)) is error
    )


def test_a_checker_that_accepts_too_much_would_be_seen() -> None:
    lax = replace(find_row("t5"), check=find_row("alibi").check)
    _, options = read_spec("t5(max_distance=2)")
    model = Geometry(dim=8, heads=2, head_dim=4, max_len=16)
    assert refusal(lax.require, options, model) is None
    assert refusal(registered()["t5"].from_spec, options, model) is OptionError


def test_the_catalogue_loads_neither_torch_nor_numpy() -> None:
    script = "import sys, milepost.catalog; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(CLASSES, "_known", {**CLASSES._known})


def bias_class() -> type[Encoding]:
    class Flat(Encoding):
        @classmethod
        def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Encoding:
            return cls()

        def bias(self, query: torch.Tensor, *given: object, scaling: float) -> None:  # type: ignore[override]
            return None

    return Flat


def test_an_encoding_of_the_package_gives_way_to_no_other(shelf: None) -> None:
    with pytest.raises(OptionError, match="taken"):
        register(EncodingRow("t5", places=("bias",)))(bias_class())


def test_a_row_that_names_other_places_than_the_class_is_refused(shelf: None) -> None:
    with pytest.raises(OptionError, match="places"):
        register(EncodingRow("flat", places=("vectors",)))(bias_class())
    assert "flat" not in rows()


def test_a_row_of_ones_own_is_read_checked_and_priced(shelf: None) -> None:
    cost = CostFormula(lambda s, o: o.whole("width"), lambda s, o, n: Work(layer=n))
    own = EncodingRow("flat", {"width": whole(4, least=1)}, ("bias",), cost=cost)
    register(own)(bias_class())
    model = Geometry(dim=8, heads=2, head_dim=4, max_len=16)
    assert build("randomized(inner=flat(width=7))", model).places == {"bias"}
    assert price(parse_spec("shape(inner=flat(width=7))"), sizes_of(model)).parameters == 7
    assert refusal(built, parse_spec("flat(width=0)"), model) is OptionError
    assert str(canonical("flat(width=4)")) == "flat"


def test_an_encoding_without_options_needs_no_row(shelf: None) -> None:
    register("flat")(bias_class())
    assert find_row("flat").places == ("bias",)


def test_a_row_without_a_class_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN, "unwritten", EncodingRow("unwritten"))
    with pytest.raises(UnknownName):
        build("unwritten", Geometry(dim=8, heads=2, head_dim=4, max_len=16))


def test_an_unknown_name_is_offered_the_nearest_row() -> None:
    with pytest.raises(UnknownName, match="did you mean rotary"):
        find_row("rotery")
