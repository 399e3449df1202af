"""Finding the family of a model, and the parts of it that hold positions."""

from __future__ import annotations

from transformers import PreTrainedModel

from milepost.errors import SwapRefused, UnknownFamily
from milepost.models.family import Family
from milepost.models.family_rows import REFUSED, ROWS
from milepost.tables import PREFIX


def families() -> dict[str, tuple[Family, ...]]:
    """All families by transformers' model type, sorted; encoder-decoders have a row for each half.

    >>> [row.base for row in families()["bart"]]
    ['BartEncoder', 'BartDecoder']
    """
    names = sorted({row.model_type for row in ROWS})
    return {name: tuple(row for row in ROWS if row.model_type == name) for name in names}


def find_family(model_type: str) -> tuple[Family, ...]:
    """The rows of a model type, swapped or not.

    Raises:
        UnknownFamily: MP120, no row of this model type.
        SwapRefused: MP121, a family that is known not to be swappable.
    """
    name = model_type.removeprefix(PREFIX)
    if name in REFUSED:
        reason, fix = REFUSED[name]
        raise SwapRefused(f"this family cannot be swapped: {reason}", got=f"model_type {name!r}", fix=fix)
    known = families()
    if name not in known:
        raise UnknownFamily(
            "this model family is not known here",
            got=f"model_type {model_type!r}",
            fix=f"use one of {', '.join(known)}, or add a row to milepost.models.family_rows",
        )
    return known[name]


def find_bases(model: PreTrainedModel) -> list[tuple[PreTrainedModel, Family]]:
    """The modules that own positions and layers, each with its row; one, or an encoder and a decoder.

    Raises:
        UnknownFamily: MP120, no model of transformers or none that is known.
        SwapRefused: MP121, when there is none, one twice, or one of another model type.
    """
    if not isinstance(model, PreTrainedModel):
        raise UnknownFamily(
            "only models of transformers can be swapped",
            got=type(model).__name__,
            fix="pass a PreTrainedModel; use milepost.LearnedPositions in a model of your own",
        )
    rows = find_family(model.config.model_type)
    found = [
        (module, row)
        for row in rows
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and any(cls.__name__ == row.base for cls in type(module).__mro__)
    ]
    twice = len({row.base for _, row in found}) != len(found)
    if not found or twice or any(base.config.model_type != model.config.model_type for base, _ in found):
        raise SwapRefused(
            f"the model does not hold one {' and one '.join(row.base for row in rows)} of its own type",
            got=f"{type(model).__name__} with {len(found)}",
            fix="swap the part that holds the position table",
        )
    for base, row in found:
        if getattr(base.config, "position_embedding_type", "absolute") != "absolute":
            raise SwapRefused(
                f"only {row.model_type} models with absolute positions can be swapped",
                got=f"position_embedding_type={base.config.position_embedding_type!r}",
                fix="choose a checkpoint with position_embedding_type='absolute'",
            )
    return found
