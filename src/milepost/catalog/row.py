"""One row of the catalogue for each encoding, and what can be said of a spec by its row alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from milepost.catalog.geometry import Geometry, Sizes
from milepost.errors import OptionError
from milepost.options import Option, SpecOptions, complete_options, shorten
from milepost.plugins.registry import Registry
from milepost.spec import Spec, Value, parse_spec

KEPT = 1 << 22
"""What layers share is kept between them up to this many numbers; past it, each layer derives it again."""
_PLACES = {"vectors": "input", "rotate": "queries and keys", "bias": "scores"}


@dataclass(frozen=True)
class Work:
    """What one forward pass over one sequence takes.

    Attributes:
        once: operations before the first layer.
        shared: operations that serve all layers, while ``kept`` numbers can be kept.
        kept: numbers of what is derived there.
        layer: operations in each layer.
        held: numbers that the encoding holds at a time in addition to its parameters, in float32.
    """

    once: int = 0
    shared: int = 0
    kept: int = 0
    layer: int = 0
    held: int = 0

    def operations(self, layers: int) -> int:
        """All of them, in a model of so many layers."""
        return self.once + self.shared * (1 if self.kept <= KEPT else layers) + self.layer * layers


@dataclass(frozen=True)
class CostFormula:
    """Parameters, and work for a length in tokens, of sizes and complete options."""

    parameters: Callable[[Sizes, SpecOptions], int]
    work: Callable[[Sizes, SpecOptions, int], Work]


def _accept(options: SpecOptions, geometry: Geometry) -> None:
    """No relation to check."""


def _unlimited(options: SpecOptions, geometry: Geometry) -> int | None:
    return None


def _as_it_is(options: SpecOptions, geometry: Geometry) -> Geometry:
    return geometry


@dataclass(frozen=True)
class EncodingRow:
    """What is known of an encoding without building it.

    Attributes:
        name: as in its spec string.
        options: what it can be given.
        places: the hooks that it implements: ``vectors``, ``rotate``, ``bias``.
        needs: ``grid`` (an image's rows and columns of patches), ``causal`` (a causal model), ``whole`` (the whole
            input: no cache).
        check: refuses options that contradict each other or the model, which it is given complete.
        inner: the option that holds the encoding that it wraps; empty where it wraps none.
        inside: the geometry of its table, or of the encoding that it wraps.
        usable: positions that it answers in a geometry from ``inside``; ``None`` means no limit.
        cost: its formulas; wrappers need none, and an encoding without any cannot be priced.
        paper: authors and year.
        usable_text: how many positions have an answer, for the documentation.
        scale_text: what its numbers start at.
        table: whether it saves one row per position, as ``weight``.
    """

    name: str
    options: Mapping[str, Option] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    check: Callable[[SpecOptions, Geometry], None] = _accept
    inner: str = ""
    inside: Callable[[SpecOptions, Geometry], Geometry] = _as_it_is
    usable: Callable[[SpecOptions, Geometry], int | None] = _unlimited
    cost: CostFormula | None = None
    paper: str = ""
    usable_text: str = "∞"
    scale_text: str = "none"
    table: bool = False

    @property
    def place(self) -> str:
        """Where it acts, in words."""
        return " and ".join(_PLACES[hook] for hook in self.places) or "nowhere"

    def read(self, **given: Value) -> SpecOptions:
        """Check single options, as constructors do.

        Raises:
            SpecError: MP103. OptionError: MP105.

        >>> EncodingRow("root", {"start": Option(0.1, "number", above=0)}).read(start=2)
        {'start': 2.0}
        """
        return SpecOptions({key: self.options[key].read(self.name, key, one) for key, one in given.items()})

    def require(self, options: SpecOptions, geometry: Geometry) -> None:
        """Refuse what cannot be built in this geometry; ``options`` are complete.

        Raises:
            OptionError: MP105, a model of text or one that is not causal, or what ``check`` refuses.
            UnknownName: MP104, of a scaling that a model names.
        """
        if "grid" in self.needs:
            require_grid(self.name, geometry)
        if "causal" in self.needs:
            require_causal(self.name, geometry.causal)
        self.check(options, geometry)
        if self.inner:
            require(options.spec(self.inner), self.inside(options, geometry))


def require_grid(what: str, geometry: Geometry) -> tuple[int, int]:
    """The rows and columns of patches of an image model.

    Raises:
        OptionError: MP105, a model of text.
    """
    if geometry.grid is None:
        raise OptionError(
            f"{what} is for images: it needs the rows and columns of their patches",
            got="a geometry without a grid, as text has it",
            fix=f"{what.removesuffix('2d')}, or Geometry(..., grid=(14, 14), prefix=1) for images",
        )
    return geometry.grid


def require_causal(what: str, causal: bool) -> None:
    """Refuse a bidirectional model.

    Raises:
        OptionError: MP105.
    """
    if not causal:
        raise OptionError(
            f"{what} is for causal models: keys after the query would grow with distance",
            got="a bidirectional model",
            fix="rotary",
        )


CLASSES: Registry[Any] = Registry("encoding", "milepost.encodings")
"""The classes of encodings that were imported, and those that installed packages offer; each has its ``row``."""
BUILT_IN: dict[str, EncodingRow] = {}
"""The rows of the package; ``builtin.py`` fills it."""


def rows() -> dict[str, EncodingRow]:
    """All rows by name: those of the package in the order of the documentation, then those of classes that were loaded."""
    return BUILT_IN | {name: cls.row for name, cls in CLASSES.loaded().items() if name not in BUILT_IN}


def find_row(name: str, *, in_file: bool = False) -> EncodingRow:
    """The row of an encoding; of an installed package too, which is then imported.

    Args:
        name: of the encoding.
        in_file: whether a file says the name, not a user: then nothing is imported.

    Raises:
        UnknownName: MP104, no encoding of this name; the nearest is offered.
        PluginError: MP109, an installed package offers the name and cannot be imported, or is not to be.

    >>> find_row("rotary").place
    'queries and keys'
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    found: EncodingRow = CLASSES.find(name, known=BUILT_IN, in_file=in_file).row
    return found


def require_loaded(spec: Spec | str) -> None:
    """Refuse an encoding that a file names and that is neither Milepost's nor imported, also inside another one.

    Raises:
        UnknownName: MP104. PluginError: MP109. SpecError: MP103.
    """
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    row = find_row(spec.name, in_file=True)
    inner = spec.options.get(row.inner)
    if isinstance(inner, Spec):
        require_loaded(inner)


def read_spec(spec: Spec | str) -> tuple[EncodingRow, SpecOptions]:
    """The row of a spec's encoding, and its complete options; those of specs inside are complete too.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.

    >>> read_spec("t5(buckets=8)")[1]
    {'buckets': 8, 'max_distance': 128}
    """
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    row = find_row(spec.name)
    return row, complete_options(spec, row.options)


def require(spec: Spec | str, geometry: Geometry) -> None:
    """Refuse a spec that cannot be built in this geometry, without building it.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.
    """
    row, options = read_spec(spec)
    row.require(options, geometry)


def canonical(spec: Spec | str) -> Spec:
    """The one spelling of a spec: defaults dropped, options sorted, words bare. Hashes are of this form.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.

    >>> str(canonical("rotary(theta=auto)")), str(canonical("rotary(theta=5e5)"))
    ('rotary', 'rotary(theta=500000)')
    """
    row, options = read_spec(spec)
    return shorten(Spec(row.name, options), row.options)
