"""What a comparison is: the design that all its trials share, and the trials themselves.

A trial is a pure function of its ``Trial``: same trial, same kind of machine, same versions, same bits.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from milepost.catalog import canonical
from milepost.errors import OptionError, UnknownName
from milepost.plugins import Code
from milepost.spec import parse_specs
from milepost.storage.records import key_of
from milepost.tasks import Options

ENCODINGS = ("learned", "sinusoidal", "rotary", "alibi", "t5", "none")

DTYPES = ("float32", "bf16")

# trials of these tasks, and of models of the user's own, began with other weights in early versions
_DRAWN_IN_ONE_STREAM = ("masked-lm", "classify", "tag", "forecast", "images")

SCALE_RULE = (
    "Weights start from a normal distribution of std sqrt(2 / (5 * dim)), which fits the width (0.023 at 768, "
    "0.079 at 64); vectors that an encoding adds to the token embeddings start at the rms of those embeddings, "
    "unless its spec says otherwise."
)


@dataclass(frozen=True)
class Model:
    """Size and start of the model that all trials share: one of transformers', trained from scratch.

    Args:
        layers: blocks.
        dim: width; a multiple of ``heads``.
        heads: attention heads.
        init_std: std of the initial weights; by default sqrt(2 / (5 dim)) (Nguyen & Salazar 2019,
            "Transformers without Tears", section 2.2), GPT-2's own 0.02 fits a width of 768 or more.
        parameters: trainable parameters that every model is to have: feed-forward layers are widened until it
            does, to the nearest whole unit; 0 leaves them as they are.
        folder: of a model of the user's own, whose sizes are then taken from there.
        weights: whether to begin from that folder's weights.
        sha256: of what that folder holds; its identity.
    """

    layers: int = 2
    dim: int = 64
    heads: int = 8
    init_std: float = 0.0
    parameters: int = 0
    folder: str = ""
    weights: bool = False
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("layers", "dim", "heads"):
            _at_least(name, getattr(self, name), 1)
        if self.weights and not self.folder:
            raise OptionError(
                "weights come from a model folder", got="weights alone", fix="--model DIR --weights"
            )
        if self.dim % self.heads:
            raise OptionError(
                "the width must be a multiple of the heads",
                got=f"dim={self.dim}, heads={self.heads}",
                fix=f"for example dim={self.heads * max(1, self.dim // self.heads)}",
            )
        if self.init_std == 0.0:
            object.__setattr__(self, "init_std", round(math.sqrt(2 / (5 * self.dim)), 6))
        _positive("init_std", self.init_std)


@dataclass(frozen=True)
class Training:
    """One recipe for all trials: AdamW, linear warm-up, cosine decay to zero.

    Args:
        steps: optimiser steps.
        batch: sequences a step.
        lr: highest learning rate.
        weight_decay: on matrices only; embeddings, position tables, biases and norms are exempt.
        warmup_share: part of the steps in which the learning rate rises.
        clip: largest norm of the gradient; 0 turns clipping off.
        dtype: ``float32``, or ``bf16``: weights, losses and measuring stay in float32, the products of training
            are taken in bfloat16 (torch's autocast).
        compile: whether the model is compiled (``torch.compile``) for training.
    """

    steps: int = 600
    batch: int = 32
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    clip: float = 1.0
    dtype: str = "float32"
    compile: bool = False
    optimizer: str = "AdamW"
    schedule: str = "linear warm-up, cosine to zero"

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 1)
        _at_least("batch", self.batch, 1)
        _positive("lr", self.lr)
        if self.dtype not in DTYPES:
            raise UnknownName.among("dtype", self.dtype, DTYPES)


@dataclass(frozen=True)
class Design:
    """What one run folder holds: task, data, model and training. Another design is another folder.

    Args:
        data: what the user wrote: a path or ``builtin:NAME``. Its identity is ``data_sha256``.
        train_length: of a training input, in the task's unit; its positions are the rows of a learned table.
        options: what the user said of the data.
        imports: code of the user's own that defines the task or encodings. Its identity is names and hashes.
    """

    task: str
    data: str
    data_sha256: str
    train_length: int
    options: Options = field(default_factory=Options)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    imports: tuple[Code, ...] = ()

    def __post_init__(self) -> None:
        _at_least("train_length", self.train_length, 2)

    def identity(self) -> dict[str, Any]:
        """All that decides results, as plain JSON: the whole design, less where the data lay and how it was read.

        ``data_sha256`` is of what was read.
        """
        content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for place in (content, content["options"], content["model"]):
            for name in ("data", "validation", "test", "folder", "encoding", "layout", "fill"):
                place.pop(name, None)
        if not self.model.weights and (self.model.folder or self.task in _DRAWN_IN_ONE_STREAM):
            content["model"]["initial_weights"] = "one stream per parameter"
        del content["imports"]
        if self.imports:  # a design without them has the hash that it always had
            content["imports"] = {one.name: one.sha256 for one in self.imports}
        return content

    def key(self) -> str:
        """Name of the design: 12 hexadecimal digits of its hash."""
        return key_of(self.identity())


@dataclass(frozen=True)
class Trial:
    """One encoding trained with one seed under a design.

    Args:
        encoding: canonical spec string.
        lr: highest learning rate; 0 is the design's.
        scale: factor on the initial scale that the rule of the design gives what the encoding adds.
    """

    design: Design
    encoding: str
    seed: int
    lr: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.lr == self.design.training.lr:
            object.__setattr__(self, "lr", 0.0)

    @property
    def recipe(self) -> Training:
        """The recipe with this trial's learning rate."""
        return dataclasses.replace(self.design.training, lr=self.lr or self.design.training.lr)

    def key(self) -> str:
        """Name of the trial's folder: 12 hexadecimal digits of the hash of what decides its bits."""
        setting = ({"lr": self.lr} if self.lr else {}) | ({"scale": self.scale} if self.scale != 1 else {})
        return key_of(
            {"design": self.design.identity(), "encoding": self.encoding, "seed": self.seed, **setting}
        )

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Trial:
        """Build it from the plain JSON of its fields."""
        design = content["design"]
        recipe = design["training"]
        parts = {
            "model": Model(**design["model"]),
            "training": Training(**recipe | {"betas": tuple(recipe["betas"])}),
            "options": Options(**design["options"]),
            "imports": tuple(Code(**one) for one in design["imports"]),
        }
        return cls(**content | {"design": Design(**design | parts)})


def read_encodings(encodings: str | Sequence[str]) -> tuple[str, ...]:
    """Read encodings as the user wrote them into canonical spec strings, without repeats.

    Raises:
        SpecError: MP103. UnknownName: MP104. OptionError: MP105, the same encoding twice.
    """
    text = encodings if isinstance(encodings, str) else ",".join(encodings)
    names = [str(canonical(spec)) for spec in parse_specs(text)]
    for name in names:
        if names.count(name) > 1:
            raise OptionError("an encoding is listed twice", got=name, fix="list each encoding once")
    return tuple(names)


def read_lengths(lengths: str | Sequence[int]) -> tuple[int, ...]:
    """Read evaluation lengths, sorted and without repeats.

    Raises:
        OptionError: MP105.

    >>> read_lengths("64,16,64")
    (16, 64)
    """
    try:
        wanted = [int(part) for part in (lengths.split(",") if isinstance(lengths, str) else lengths)]
    except ValueError:
        raise OptionError(
            "lengths are whole numbers", got=str(lengths), fix="for example --lengths 16,32,64"
        ) from None
    if not wanted:
        raise OptionError("at least one length is needed", got="none", fix="for example --lengths 16,32,64")
    for length in wanted:
        _at_least("a length", length, 1)
    return tuple(sorted(set(wanted)))


def read_seeds(seeds: int | str | Sequence[int]) -> tuple[int, ...]:
    """Read a number of seeds (0 ... n-1) or the seeds themselves; as text, a comma tells them from a number.

    Raises:
        OptionError: MP105, when there is none or one is negative.

    >>> read_seeds(3)
    (0, 1, 2)
    >>> read_seeds("0,5"), read_seeds("5,")
    ((0, 5), (5,))
    """
    if isinstance(seeds, str):
        try:
            seeds = [int(part) for part in seeds.split(",") if part] if "," in seeds else int(seeds)
        except ValueError:
            raise OptionError(
                "seeds are whole numbers", got=str(seeds), fix="--seeds 5, or --seeds 0,1,7"
            ) from None
    if isinstance(seeds, int):
        _at_least("seeds", seeds, 1)
        return tuple(range(seeds))
    for seed in seeds:
        _at_least("a seed", seed, 0)
    if not seeds:
        raise OptionError("at least one seed is needed", got="none", fix="three or more name a winner")
    return tuple(sorted(set(seeds)))


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise OptionError(f"{name} must be at least {least}", got=str(value), fix=f"give {least} or more")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise OptionError(f"{name} must be above zero", got=str(value), fix="leave it at its default")
