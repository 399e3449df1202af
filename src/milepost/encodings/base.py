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
from collections.abc import Callable
from typing import ClassVar, TypeAlias, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from milepost.catalog import CLASSES, EncodingRow, Geometry, canonical, read_spec
from milepost.encodings.positions import count_from
from milepost.errors import OptionError
from milepost.options import SpecOptions
from milepost.plugins.registry import Registry
from milepost.spec import Spec

Positions: TypeAlias = "range | Int64[Tensor, '*batch seq']"
PLACES = ("vectors", "rotate", "bias")


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
    row: ClassVar[EncodingRow] = EncodingRow("")  # of the catalogue; registering sets it
    relative: bool = False  # whether scores depend on the distance of query and key alone
    sees_length: bool = (
        False  # whether answers depend on the number of tokens, so that pads must take no position
    )
    # set from the row: whether positions depend on the length of the input, so that there is no cache, and
    # whether they are places in an image, so that text is refused
    needs_whole: ClassVar[bool] = False
    needs_grid: ClassVar[bool] = False
    places: frozenset[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.places = frozenset(hook for hook in PLACES if getattr(cls, hook) is not getattr(Encoding, hook))

    @classmethod
    @abc.abstractmethod
    def from_spec(cls, options: SpecOptions, geometry: Geometry) -> Encoding:
        """Build the encoding for a model; ``options`` are complete, and fit the model by the row."""

    @classmethod
    def settle(cls, options: SpecOptions, geometry: Geometry) -> SpecOptions:
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


_REGISTRY: Registry[Encoding] = CLASSES
_E = TypeVar("_E", bound=type[Encoding])


def register(row: EncodingRow | str) -> Callable[[_E], _E]:
    """Class decorator that puts an encoding into the registry, and with it its row into the catalogue.

    Args:
        row: what the encoding can be given and needs; its name alone, where it has no options.

    Raises:
        OptionError: MP105, when the name is taken, or the row names other hooks than the class has.
    """
    put = _REGISTRY.register(row if isinstance(row, str) else row.name)

    def add(cls: _E) -> _E:
        places = tuple(hook for hook in PLACES if hook in cls.places)
        known = row
        if isinstance(known, str):
            needs = frozenset(one for one in ("whole", "grid") if getattr(cls, f"needs_{one}"))
            known = EncodingRow(known, places=places, needs=needs)
        if set(known.places) != cls.places:
            raise OptionError(
                f"the row of {known.name} names other places than the class",
                got=f"places={known.places}",
                fix=f"places={places}",
            )
        put(cls).row = known
        cls.needs_whole, cls.needs_grid = "whole" in known.needs, "grid" in known.needs
        return cls

    return add


def registered() -> dict[str, type[Encoding]]:
    """All encodings by name, sorted; those of installed packages too, which are then imported.

    Raises:
        PluginError: MP109, a package that cannot be imported.
    """
    return dict(sorted(_REGISTRY.everything().items()))


def resolve(spec: Spec | str) -> tuple[type[Encoding], SpecOptions]:
    """Look an encoding up and complete its options with their defaults.

    Raises:
        UnknownName: MP104, no encoding of this name; the nearest is offered.
        PluginError: MP109, an installed package offers the name and cannot be imported.
        SpecError: MP103, an option that this encoding does not have, or of the wrong kind.
        OptionError: MP105, a value that an option does not take.
    """
    row, options = read_spec(spec)
    return _REGISTRY.find(row.name), options


def classes_in(spec: Spec | str) -> list[type[Encoding]]:
    """The classes that build an encoding: its own, and that of an encoding that it wraps.

    >>> [cls.name for cls in classes_in("randomized(inner=alibi)")]
    ['randomized', 'alibi']
    """
    cls, options = resolve(spec)
    return [cls, *(classes_in(options.spec(cls.row.inner)) if cls.row.inner else [])]


def settle(spec: Spec | str, geometry: Geometry) -> Spec:
    """The canonical spec with the model's own values filled in, as it is saved with a model.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105, a model without one value for all layers.

    >>> str(settle("randomized(inner=rotary)", Geometry(dim=8, heads=2, head_dim=4, max_len=16)))
    'randomized(inner=rotary(theta=10000))'
    """
    cls, options = resolve(spec)
    if cls.row.inner:
        options[cls.row.inner] = settle(options.spec(cls.row.inner), cls.row.inside(options, geometry))
    return canonical(Spec(cls.name, cls.settle(options, geometry)))


def build(spec: Spec | str, geometry: Geometry) -> Encoding:
    """Build an encoding from its spec for a model of this geometry.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105, a value out of its range.

    >>> build("learned", Geometry(dim=8, heads=2, head_dim=4, max_len=16)).usable_length
    16
    """
    cls, options = resolve(spec)
    cls.row.require(options, geometry)
    return cls.from_spec(options, geometry)
