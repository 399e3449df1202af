"""What an encoding has to know of a model, and the sizes that its cost depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from milepost.errors import OptionError
from milepost.spec import Spec, Value


@dataclass(frozen=True)
class Geometry:
    """What an encoding has to know of the model that it is put into.

    Args:
        dim: width of the token embeddings.
        heads: attention heads (query heads where keys have fewer).
        head_dim: width of one head.
        max_len: positions that a table gets; encodings without a table ignore it.
        causal: whether a query sees only keys at or before it.
        embedding_rms: root mean square of the values next to which the encoding is added: the initial
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
        causal: whether a query sees only keys at or before it.
        grid: rows and columns of patches, for images; ``None`` for text.
        prefix: positions before the first patch.
    """

    layers: int
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    max_len: int
    partial: float = 1.0
    causal: bool = True
    grid: tuple[int, int] | None = None
    prefix: int = 0

    @property
    def geometry(self) -> Geometry:
        """The same model, as an encoding is built for it."""
        own: dict[str, Value] = {"theta": 10000.0, "partial": self.partial, "scaling": Spec("none")}
        return Geometry(
            dim=self.dim,
            heads=self.heads,
            head_dim=self.head_dim,
            max_len=self.max_len,
            causal=self.causal,
            grid=self.grid,
            prefix=self.prefix,
            rotary=() if self.partial == 1 else (Spec("rotary", own),),
        )
