"""From a model to the stacks of its family's row, and the modules that they describe.

What needs a module of torch is here; the rows are strings and numbers in ``milepost.tables.families``, which is read
where torch is not installed.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from milepost.errors import SwapRefused, UnknownFamily
from milepost.tables import PREFIX, Family, Stack, family_of, stacks_by_type

_REASONS = {
    "alibi": "it has alibi already, added by its own attention",
    "relative_bias": "its attention scores the distances of positions in its own way",
    "convolution": "its positions come from a convolution over its input, which cannot be told from its features",
    "none": "it has no attention",
}


def find_stacks(model_type: str) -> tuple[Stack, ...]:
    """The stacks of a model type, swapped or not.

    Raises:
        UnknownFamily: MP120, a model type that is not known.
        SwapRefused: MP121, one that is known, and not to be swappable.
    """
    name = model_type.removeprefix(PREFIX)
    stacks, family = stacks_by_type(), family_of(name)
    if name in stacks:
        return stacks[name]
    if family is None:
        raise UnknownFamily(
            "Milepost does not know this model family",
            got=f"model_type {model_type!r}",
            fix=f"use one of {', '.join(stacks)}, or add a row to milepost.tables.families",
        )
    reason, fix = explain_refusal(family)
    raise SwapRefused(f"this family cannot be swapped: {reason}", got=f"model_type {name!r}", fix=fix)


def explain_refusal(family: Family) -> tuple[str, str]:
    """Why model types of a family without stacks cannot be swapped, and what to do instead."""
    if family.parts and not family.tables:
        fields = ", ".join(part.config for part in family.parts)
        return f"it holds several models, each with its own positions ({fields})", "swap one of these models"
    if (reason := _REASONS.get(family.positions_by)) is not None:
        return reason, f"use one of {', '.join(stacks_by_type())}"
    others = ", ".join(stacks_by_type())
    return (
        "Milepost does not know its modules",
        f"use one of {others}, or add a Stack to the family {family.name!r}",
    )


def find_attentions(model: nn.Module, stack: Stack) -> list[nn.Module]:
    """All attention modules of a model, in order."""
    classes = {*stack.attention, *stack.cross_attention}
    return [module for module in model.modules() if classes & _class_names(module)]


def is_crossing(module: nn.Module, base: nn.Module, stack: Stack) -> bool:
    """Whether an attention module looks from a decoder at an encoder."""
    name = next(path.rpartition(".")[2] for path, one in base.named_modules() if one is module)
    names = {name} | _class_names(module)
    return bool(names & set(stack.cross_attention)) or bool(getattr(module, "is_cross_attention", False))


def _class_names(module: nn.Module) -> set[str]:
    return {cls.__name__ for cls in type(module).__mro__}


def find_bases(model: PreTrainedModel) -> list[tuple[PreTrainedModel, Stack]]:
    """The modules that own positions and layers, each with its stack; one, or an encoder and a decoder.

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
    stacks = find_stacks(model.config.model_type)
    found = [
        (module, stack)
        for stack in stacks
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and any(cls.__name__ == stack.base for cls in type(module).__mro__)
    ]
    twice = len({stack.base for _, stack in found}) != len(found)
    if not found or twice or any(base.config.model_type != model.config.model_type for base, _ in found):
        raise SwapRefused(
            f"the model does not hold one {' and one '.join(stack.base for stack in stacks)} of its own type",
            got=f"{type(model).__name__} with {len(found)}",
            fix="swap the part that holds the position table",
        )
    for base, stack in found:
        if getattr(base.config, "position_embedding_type", "absolute") != "absolute":
            raise SwapRefused(
                f"only {stack.model_type} models with absolute positions can be swapped",
                got=f"position_embedding_type={base.config.position_embedding_type!r}",
                fix="choose a checkpoint with position_embedding_type='absolute'",
            )
    return found
