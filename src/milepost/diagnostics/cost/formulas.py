"""Parameters, operations and working memory of each encoding, as formulas of a model's sizes.

Operations are those of floating-point arithmetic in one forward pass over one sequence: one for each
number that an addition, multiplication, comparison or function such as a cosine gives, two for each
multiply-add of a matrix product. What moves, picks or casts numbers, and arithmetic on whole numbers,
is not counted. The formulas follow the encodings of this package; ``docs/cost.md`` states them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from milepost.errors import OptionError, SpecError, UnknownName
from milepost.spec import Spec, Value

KEPT = 1 << 22
"""What layers share is kept between them up to this many numbers; past it, each layer derives it anew."""


@dataclass(frozen=True)
class Sizes:
    """What an encoding's cost depends on.

    Attributes:
        layers: Transformer blocks.
        dim: width of the vectors that a position is added to.
        heads: of the queries.
        kv_heads: of keys and values.
        head_dim: width of one head.
        max_len: positions that a table gets.
        partial: share of a head that the model's own rotary encoding turns.
    """

    layers: int
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    max_len: int
    partial: float = 1.0


@dataclass(frozen=True)
class Work:
    """What one forward pass over one sequence takes.

    Attributes:
        once: operations before the first layer.
        shared: operations that serve all layers, while ``kept`` numbers can be kept.
        kept: numbers of what is derived there.
        layer: operations in each layer.
        held: numbers that the encoding holds at a time beside its parameters, in float32.
    """

    once: int = 0
    shared: int = 0
    kept: int = 0
    layer: int = 0
    held: int = 0

    def operations(self, layers: int) -> int:
        """All of them, in a model of so many layers."""
        return self.once + self.shared * (1 if self.kept <= KEPT else layers) + self.layer * layers


Options: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class Formula:
    """One encoding.

    Attributes:
        place: ``input``, ``queries and keys``, ``scores`` or ``nowhere``.
        defaults: options that the cost depends on, and all others.
        parameters: of sizes and options.
        work: of sizes, options and length in tokens.
        limited: whether it answers ``max_len`` positions only.
    """

    place: str
    defaults: Options
    parameters: Callable[[Sizes, Options], int]
    work: Callable[[Sizes, Options, int], Work]
    limited: Callable[[Options], bool] = lambda options: False


@dataclass(frozen=True)
class Priced:
    """An encoding with its options, in a model of given sizes."""

    formula: Formula
    options: Options
    sizes: Sizes

    @property
    def parameters(self) -> int:
        """How many numbers training moves."""
        return self.formula.parameters(self.sizes, self.options)

    @property
    def usable_length(self) -> int | None:
        """Positions that have an answer; ``None`` means no limit."""
        return self.sizes.max_len if self.formula.limited(self.options) else None

    def work(self, length: int) -> Work:
        """Of one pass over ``length`` tokens."""
        return self.formula.work(self.sizes, self.options, length)


def price(spec: Spec, sizes: Sizes) -> Priced:
    """Look an encoding's formulas up.

    Raises:
        UnknownName: MP104, an encoding without formulas. SpecError: MP103. OptionError: MP105.

    >>> price(Spec("learned"), Sizes(12, 768, 12, 12, 64, 512)).parameters
    393216
    """
    if spec.name in _WRAPPERS:
        defaults, key = _WRAPPERS[spec.name]
        options = _complete(spec, defaults)
        inner, number = options["inner"], _whole(options, key)
        if not isinstance(inner, Spec):
            raise SpecError(f"{spec.name} wraps an encoding", got=str(spec), fix="inner=learned")
        more = sizes.max_len if key == "max_shift" else 0
        return price(inner, replace(sizes, max_len=number + more))
    if spec.name not in FORMULAS:
        raise UnknownName.among("encoding with a known cost", spec.name, [*FORMULAS, *_WRAPPERS])
    formula = FORMULAS[spec.name]
    options = _complete(spec, formula.defaults)
    if rows := _whole(options, "rows") if "rows" in options else 0:
        sizes = replace(sizes, max_len=rows)
    priced = Priced(formula, options, sizes)
    if formula.place == "queries and keys":
        width = _width(sizes, priced.options)
        if width < 2 or width % 2:
            raise OptionError(
                f"{spec.name} turns pairs of dimensions", got=f"a width of {width}", fix="choose another"
            )
    return priced


def _complete(spec: Spec, defaults: Options) -> Options:
    unknown = spec.options.keys() - defaults.keys()
    if unknown:
        raise SpecError(
            f"{spec.name} has no option {min(unknown)}",
            got=str(spec),
            fix=f"{spec.name} has {', '.join(sorted(defaults)) or 'no options'}",
        )
    for key, value in spec.options.items():
        number = isinstance(defaults[key], int | float)
        if number and not (isinstance(value, int | float) and value >= 0):
            raise SpecError(f"{spec.name}'s option {key} must be a number", got=str(spec), fix=f"{key}=1")
        if (
            defaults[key] == "auto"
            and key in _AUTO
            and not (_word(value) == "auto" or (isinstance(value, int | float) and value > 0))
        ):
            raise SpecError(
                f"{spec.name}'s option {key} must be auto or a number above 0",
                got=str(spec),
                fix=f"{key}=auto",
            )
        if key in _WORDS and _word(value) not in _WORDS[key]:
            raise OptionError(
                f"{key} must be one of its words", got=str(spec), fix=f"one of {', '.join(_WORDS[key])}"
            )
    return {**defaults, **spec.options}


def _whole(options: Options, key: str) -> int:
    return int(float(str(options[key])))


def _word(value: Value) -> str:
    return value.name if isinstance(value, Spec) else str(value)


def _width(s: Sizes, o: Options) -> int:
    partial = o.get("partial", 1.0)
    return int(s.head_dim * (s.partial if _word(partial) == "auto" else float(str(partial))))


def _none(s: Sizes, o: Options) -> int:
    return 0


def _learned_parameters(s: Sizes, o: Options) -> int:
    rank = _whole(o, "rank")
    return rank * (s.max_len + s.dim) if rank else s.max_len * s.dim


def _learned(s: Sizes, o: Options, n: int) -> Work:
    rank = _whole(o, "rank")
    product = 2 * n * rank * s.dim  # the two factors; a full table is read in place
    return Work(once=product + n * s.dim, held=n * s.dim if rank else 0)


def _sinusoidal(s: Sizes, o: Options, n: int) -> Work:
    pairs = -(-s.dim // 2)
    return Work(once=2 * pairs + 3 * n * pairs + 2 * n * s.dim, held=n * s.dim)


def _rotary(s: Sizes, o: Options, n: int) -> Work:
    width = _width(s, o)
    pairs = width // 2
    frequencies = {"auto": 2 * pairs, "none": 2 * pairs, "dynamic": 4 * pairs + 6}
    return Work(
        shared=frequencies.get(_word(o["scaling"]), 0) + 6 * n * pairs,
        kept=2 * n * width,
        layer=3 * n * width * (s.heads + s.kv_heads),
        held=2 * n * width,
    )


def _xpos(s: Sizes, o: Options, n: int) -> Work:
    width = s.head_dim
    turned = _rotary(s, {**o, "scaling": "none"}, n)
    fading = 2 * (4 * (width // 2) + 4 * n * width) + n * width
    return Work(
        shared=turned.shared + fading,
        kept=2 * n * width,
        layer=turned.layer + n * width * (s.heads + s.kv_heads),
        held=4 * n * width,
    )


def _scores(s: Sizes, n: int, *, each: int = 0, **more: int) -> Work:
    """A bias: ``each`` operations a layer to make it, and one a pair and head to add it."""
    pairs = s.heads * n * n
    return Work(layer=each + pairs, held=pairs, **more)


def _alibi(s: Sizes, o: Options, n: int) -> Work:
    pairs = s.heads * n * n
    return _scores(s, n, once=s.heads, shared=pairs, kept=pairs)


def _t5(s: Sizes, o: Options, n: int) -> Work:
    return _scores(s, n, shared=4 * n * n, kept=n * n)


def _shaw(s: Sizes, o: Options, n: int) -> Work:
    rows = 2 * _whole(o, "max_distance") + 1
    return _scores(s, n, each=s.heads * n * s.head_dim * (1 + 2 * rows))


def _kerple(s: Sizes, o: Options, n: int) -> Work:
    if _word(o["variant"]) == "log":
        return _scores(s, n, each=3 * s.heads * n * n + 3 * s.heads)
    return _scores(s, n, each=2 * s.heads * n * n + n * n + 4 * s.heads)


def _fire(s: Sizes, o: Options, n: int) -> Work:
    width = _whole(o, "width")
    pair = 7 + (2 * width + width) + width + (2 * width * s.heads + s.heads)
    return _scores(s, n, each=pair * n * n + 3)


def _sandwich(s: Sizes, o: Options, n: int) -> Work:
    pairs = _whole(o, "width") // 2
    every = s.heads * n * n
    return _scores(s, n, shared=2 * pairs + 3 * pairs * n * n + every + s.heads, kept=every)


_WORDS = {
    "past": ("error", "clamp", "tile", "group", "linear", "bicubic"),
    "scaling": ("auto", "none", "linear", "ntk", "dynamic", "yarn", "llama3", "longrope"),
    "variant": ("log", "power"),
}
_AUTO = ("theta", "partial")
_ROTARY: Options = {"theta": "auto", "partial": "auto", "scaling": Spec("auto")}
_LEARNED: Options = {"std": "auto", "past": "error", "init": "normal", "rank": 0, "rows": 0, "count": "off"}

FORMULAS: Mapping[str, Formula] = {
    "learned": Formula(
        "input", _LEARNED, _learned_parameters, _learned, lambda options: _word(options["past"]) == "error"
    ),
    "sinusoidal": Formula("input", {"theta": 10000.0, "rms": "auto"}, _none, _sinusoidal),
    "rotary": Formula("queries and keys", _ROTARY, _none, _rotary),
    "xpos": Formula("queries and keys", {"theta": 10000.0, "scale_base": 512.0, "gamma": 0.4}, _none, _xpos),
    "alibi": Formula("scores", {}, _none, _alibi),
    "t5": Formula(
        "scores", {"buckets": 32, "max_distance": 128}, lambda s, o: _whole(o, "buckets") * s.heads, _t5
    ),
    "shaw": Formula(
        "scores",
        {"max_distance": 16},
        lambda s, o: (2 * _whole(o, "max_distance") + 1) * s.head_dim,
        _shaw,
    ),
    "kerple": Formula("scores", {"variant": "log"}, lambda s, o: 2 * s.heads, _kerple),
    "fire": Formula(
        "scores",
        {"width": 32, "threshold": 512.0},
        lambda s, o: 2 + 2 * _whole(o, "width") + (_whole(o, "width") + 1) * s.heads,
        _fire,
    ),
    "sandwich": Formula("scores", {"width": 128}, _none, _sandwich),
    "none": Formula("nowhere", {}, _none, lambda s, o, n: Work()),
}
"""By the name of the encoding; those that wrap another cost what is inside, for more positions."""

_WRAPPERS: Mapping[str, tuple[Options, str]] = {
    "randomized": ({"inner": Spec("learned"), "max_len": 2048}, "max_len"),
    "shape": ({"inner": Spec("sinusoidal"), "max_shift": 100}, "max_shift"),
}
