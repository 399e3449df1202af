"""The one abstract class of a position encoding, and the registry of all of them.

An encoding acts at up to three places of a Transformer:

========  =========================================  =============================
place     hook                                       examples
========  =========================================  =============================
input     ``vectors``: added to the token embeddings ``learned``, ``sinusoidal``
queries   ``rotate``: changes queries and keys       ``rotary``
scores    ``bias``: added to the attention scores    ``alibi``, ``t5``
========  =========================================  =============================

An encoding never guesses positions: it is given them. Positions known to the host are a ``range``
(lengths are then checked without touching a device); any others are an int64 tensor.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.encodings.positions import count_from
from milepost.errors import OptionError, SpecError, UnknownName
from milepost.plugins.registry import Registry
from milepost.spec import Spec, Value, is_name, parse_spec

Positions: TypeAlias = "range | Int64[Tensor, '*batch seq']"
PLACES = ("vectors", "rotate", "bias")


@dataclass(frozen=True)
class Geometry:
    """What an encoding has to know of the model that it is put into.

    Args:
        dim: width of the token embeddings.
        heads: attention heads (query heads where keys have fewer).
        head_dim: width of one head.
        max_len: positions that a table gets; encodings without a table ignore it.
        causal: whether a query sees only keys at or before it.
        embedding_rms: root mean square of the values that the encoding stands beside: the initial
            std of the token embeddings, or the rms of the table it replaces. Encodings that add
            vectors take their initial scale from it unless their spec says otherwise.
        grid: rows and columns of patches, for images; ``None`` for text. Patches follow one another row
            by row.
        prefix: positions before the first patch: class and register tokens.
        rotary: the model's own rotary settings as specs of ``rotary`` with all options; several where kinds of
            layers differ, none where the model is not rotary.
    """

    dim: int
    heads: int
    head_dim: int
    max_len: int
    causal: bool = True
    embedding_rms: float = 0.02
    grid: tuple[int, int] | None = None
    prefix: int = 0
    rotary: tuple[Spec, ...] = ()

    def __post_init__(self) -> None:
        for name in ("dim", "heads", "head_dim", "max_len"):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"{name} must be at least 1",
                    got=f"{name}={getattr(self, name)}",
                    fix=f"give a positive {name}",
                )
        if not (math.isfinite(self.embedding_rms) and self.embedding_rms >= 0):
            raise OptionError(
                "embedding_rms must be a finite number, 0 or more",
                got=str(self.embedding_rms),
                fix="leave it at its default",
            )
        if self.prefix < 0 or (self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1)):
            raise OptionError(
                "a grid is two positive numbers, and its prefix 0 or more",
                got=f"grid={self.grid}, prefix={self.prefix}",
                fix="grid=(14, 14), prefix=1 for patches of 16 in images of 224",
            )


class Encoding(nn.Module, abc.ABC):
    """A way to put position into a Transformer.

    A subclass implements ``from_spec`` and at least one of the three hooks (``none`` implements none);
    ``places`` then says which. The hooks that it leaves alone do nothing: they are defined here so
    that a model calls all encodings alike. Concrete encodings are final.

    No buffers outside the state dict: loading through the meta device refills them with garbage, so
    constants are built in the forward pass. No floating-point buffers: ``.bfloat16()`` rounds them.

    A model calls ``remap`` once a forward pass and gives what it returns to all hooks.
    """

    name: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Value]] = {}
    numbers: ClassVar[frozenset[str]] = frozenset()  # options that are auto or a number, and no other word
    # options that are themselves specs of something other than an encoding: name -> its own defaults
    nested: ClassVar[Mapping[str, Mapping[str, Mapping[str, Value]]]] = {}
    relative: bool = False  # whether scores depend on the distance of query and key alone
    sees_length: bool = (
        False  # whether answers depend on the number of tokens, so that pads must take no position
    )
    needs_whole: ClassVar[bool] = False  # whether positions depend on the length of the input: no cache
    needs_grid: ClassVar[bool] = False  # whether positions are places in an image: text is refused
    places: frozenset[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.places = frozenset(hook for hook in PLACES if getattr(cls, hook) is not getattr(Encoding, hook))

    @classmethod
    @abc.abstractmethod
    def from_spec(cls, options: Mapping[str, Value], geometry: Geometry) -> Encoding:
        """Build the encoding for a model; ``options`` are complete, defaults filled in."""

    @classmethod
    def settle(cls, options: Mapping[str, Value], geometry: Geometry) -> Mapping[str, Value]:
        """Complete options with the values that ``auto`` leaves to the model, where a spec must name them."""
        return options

    @property
    def usable_length(self) -> int | None:
        """Positions that the encoding has an answer for; ``None`` means no limit."""
        return None

    @property
    def thresholds(self) -> tuple[int, ...]:
        """Positions at which the form of the answers changes, for checks that try both sides; usually none."""
        return ()

    @property
    def scales(self) -> dict[str, float]:
        """Initial scales that the encoding chose, for the report; empty where it has none."""
        return {}

    def remap(
        self, positions: Positions, *, batch: int, device: torch.device | str | None = None
    ) -> Positions:
        """The positions that this forward pass uses instead of ``positions``; most encodings change nothing.

        A model calls this once, before any hook, and passes the answer to ``vectors``, ``rotate`` and
        ``bias`` alike: an encoding that draws positions at random would otherwise disagree with itself
        between layers. A model does not call it when a cache is in use. In evaluation mode the answer
        depends on ``positions`` alone, and torch's random state is neither read nor changed.

        Args:
            positions: of the whole input: a ``range`` from 0 on, or int64 of any shape.
            batch: sequences in the input, for those that draw anew for each.
            device: where to build when positions are a ``range``.
        """
        return positions

    def at_grid(self, grid: tuple[int, int]) -> Encoding:
        """The encoding that answers for an image of this many rows and columns of patches.

        A model of images asks this once a forward pass, and then that encoding for everything. Most encodings
        know positions alone and answer for any image themselves; those that know places answer with one that
        shares their parameters, gradients included.

        Args:
            grid: rows and columns of patches of the image, behind the same prefix.
        """
        return self

    def vectors(
        self, positions: Positions, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch seq dim"] | None:
        """Vectors to add to the token embeddings at ``positions``; ``None`` adds nothing.

        Args:
            positions: a contiguous ``range``, answered with ``(seq, dim)``, or int64 of any shape.
            device: where to build when positions are a ``range`` and the encoding has no parameter
                that says; ignored otherwise.

        Returns:
            The parameter's dtype, or float32 where there is no parameter; ``embed`` casts.
        """
        return None

    def vectors_from(
        self, start: int, length: int, *, device: torch.device | str | None = None
    ) -> Float[Tensor, "seq dim"] | None:
        """Vectors at positions ``start``, ``start + 1``, ...; a traced graph does not fix ``length``."""
        return self.vectors(count_from(start, length, device=device), device=device)

    def rotate(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        key: Float[Tensor, "batch kv_heads key head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
    ) -> tuple[Tensor, Tensor]:
        """Change queries and keys; returns new tensors of the dtypes given."""
        return query, key

    def bias(
        self,
        query: Float[Tensor, "batch heads query head_dim"],
        query_positions: Int64[Tensor, "*batch query"],
        key_positions: Int64[Tensor, "*batch key"],
        *,
        scaling: float,
    ) -> Float[Tensor, "*batch heads query key"] | None:
        """Numbers to add to the scaled scores, float32; ``query`` serves content-dependent biases.

        Args:
            query: queries as the model made them, before any rotation.
            query_positions: positions of the queries, one row a sequence or shared by all.
            key_positions: positions of the keys.
            scaling: what the model multiplies ``query @ key`` by.
        """
        return None

    def embed(
        self, embeddings: Float[Tensor, "batch seq dim"], positions: Positions | None = None
    ) -> Float[Tensor, "batch seq dim"]:
        """Add ``vectors`` to token embeddings; without ``positions`` they are 0, 1, 2, ... .

        Raises:
            OptionError: MP105, token ids instead of their embeddings.
        """
        if not embeddings.is_floating_point() or embeddings.ndim < 2:
            raise OptionError(
                "position vectors are added to token embeddings, floating point of shape (batch, seq, dim)",
                got=f"{embeddings.dtype}, shape {tuple(embeddings.shape)}",
                fix="pass the token embeddings, layer(tokens(ids)); layer.vectors(positions) gives the vectors alone",
            )
        if positions is None:
            added = self.vectors_from(0, embeddings.shape[-2], device=embeddings.device)
        else:
            added = self.vectors(positions, device=embeddings.device)
        return embeddings if added is None else embeddings + added.to(embeddings.dtype)


_REGISTRY: Registry[Encoding] = Registry("encoding", "milepost.encodings")
_E = TypeVar("_E", bound=type[Encoding])


def register(name: str) -> Callable[[_E], _E]:
    """Class decorator that puts an encoding into the registry under ``name``.

    Raises:
        OptionError: MP105, when the name is taken.
    """
    return _REGISTRY.register(name)


def registered() -> dict[str, type[Encoding]]:
    """All encodings by name, sorted; those of installed packages too, which are then imported.

    Raises:
        PluginError: MP109, a package that cannot be imported.
    """
    return dict(sorted(_REGISTRY.everything().items()))


def resolve(spec: Spec | str) -> tuple[type[Encoding], dict[str, Value]]:
    """Look an encoding up and complete its options with their defaults.

    Raises:
        UnknownName: MP104, no encoding of this name; the nearest is offered.
        PluginError: MP109, an installed package offers the name and cannot be imported.
        SpecError: MP103, an option that this encoding does not have, or of the wrong kind.
    """
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    cls = _REGISTRY.find(spec.name)
    options = _completed(spec, cls.defaults, cls.nested)
    for key in cls.numbers:
        if isinstance(options[key], str) and options[key] != "auto":
            raise SpecError(
                f"{spec.name}'s option {key} must be auto or a number", got=str(spec), fix=f"{key}=auto"
            )
    return cls, options


def classes_in(spec: Spec | str) -> list[type[Encoding]]:
    """The classes that build an encoding: its own, and those of encodings among its options.

    >>> [cls.name for cls in classes_in("randomized(inner=alibi)")]
    ['randomized', 'alibi']
    """
    cls, options = resolve(spec)
    inner = [value for key, value in options.items() if isinstance(value, Spec) and key not in cls.nested]
    return [cls, *(one for value in inner for one in classes_in(value))]


def _completed(
    spec: Spec,
    defaults: Mapping[str, Value],
    nested: Mapping[str, Mapping[str, Mapping[str, Value]]],
) -> dict[str, Value]:
    """Options of ``spec`` over ``defaults``, each checked, nested ones completed by their own."""
    options = dict(defaults)
    for key, value in spec.options.items():
        if key not in defaults:
            has = ", ".join(sorted(defaults)) or "no options"
            raise SpecError(f"{spec.name} has no option {key}", got=str(spec), fix=f"{spec.name} has {has}")
        options[key] = _checked(spec, key, value, defaults[key])
    for key, known in nested.items():
        inner = options[key]
        assert isinstance(inner, Spec)
        if inner.name not in known:
            raise UnknownName.among(key, inner.name, known)
        options[key] = Spec(inner.name, _completed(inner, known[inner.name], {}))
    return options


def _checked(spec: Spec, key: str, value: Value, default: Value) -> Value:
    if isinstance(value, Spec) and not value.options and isinstance(default, str):
        return value.name  # a bare word is a string where the option is one
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    # "auto" is the string default of options that are otherwise a number: the encoding checks those
    fits = isinstance(value, type(default)) or (default == "auto" and isinstance(value, int | float))
    if not fits:
        kind = {int: "a whole number", float: "a number", str: "a word"}.get(type(default), "a spec")
        raise SpecError(
            f"{spec.name}'s option {key} must be {kind}", got=str(spec), fix=f"its default is {default}"
        )
    return value


def read_scale(key: str, value: Value, auto: float) -> float:
    """Read an option that is a scale: a number of 0 or more, or ``auto`` for ``auto``.

    Raises:
        OptionError: MP105, when it is neither.
    """
    if value == "auto":
        return auto
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    raise OptionError(f"{key} must be auto or a number, 0 or more", got=f"{key}={value}", fix=f"{key}=auto")


def read_choice(key: str, value: object, choices: tuple[str, ...]) -> str:
    """Read an option that is one of a few words.

    Raises:
        OptionError: MP105, when it is none of them.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise OptionError(
        f"{key} must be one of its words", got=f"{key}={value}", fix=f"one of {', '.join(choices)}"
    )


def canonical(spec: Spec | str) -> Spec:
    """The one spelling of a spec: defaults dropped, options sorted, words bare. Hashes are of this form.

    >>> str(canonical("rotary(theta=auto)")), str(canonical("rotary(theta=5e5)"))
    ('rotary', 'rotary(theta=500000)')
    """
    cls, options = resolve(spec)
    return Spec(cls.name, _kept(options, cls.defaults, cls.nested))


def _kept(
    options: Mapping[str, Value],
    defaults: Mapping[str, Value],
    nested: Mapping[str, Mapping[str, Mapping[str, Value]]],
) -> dict[str, Value]:
    kept: dict[str, Value] = {}
    for key, value in options.items():
        if isinstance(value, Spec):
            if key in nested:
                value = Spec(value.name, _kept(value.options, nested[key][value.name], {}))
            else:
                value = canonical(value)
        if value != defaults[key]:
            kept[key] = Spec(value) if isinstance(value, str) and is_name(value) else value
    return kept


def settle(spec: Spec | str, geometry: Geometry) -> Spec:
    """The canonical spec with the model's own values filled in, as it is saved with a model.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105, a model without one value for all layers.

    >>> str(settle("randomized(inner=rotary)", Geometry(dim=8, heads=2, head_dim=4, max_len=16)))
    'randomized(inner=rotary(theta=10000))'
    """
    cls, options = resolve(spec)
    inner = {
        key: settle(value, geometry) if isinstance(value, Spec) and key not in cls.nested else value
        for key, value in options.items()
    }
    return canonical(Spec(cls.name, cls.settle(inner, geometry)))


def build(spec: Spec | str, geometry: Geometry) -> Encoding:
    """Build an encoding from its spec for a model of this geometry.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105, a value out of its range.

    >>> build("learned", Geometry(dim=8, heads=2, head_dim=4, max_len=16)).usable_length
    16
    """
    cls, options = resolve(spec)
    return cls.from_spec(options, geometry)
