"""What several checks of a model share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from milepost.finding import Verdict
from milepost.models.check.runnable_model import PADS_FAR, RunnableModel
from milepost.tables import stacks_by_type

SAME = "the same outputs as alone"


def counted_from(mask: Tensor) -> Tensor:
    """Positions of the tokens that a mask shows, from 0, ``(rows, length)``."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def formula(subject: RunnableModel) -> str:
    """``counted_from`` as a reader writes it."""
    shift = f" + {subject.first}" if subject.first else ""
    return f"(attention_mask.cumsum(-1) - 1).clamp(min=0){shift}"


def or_swap(subject: RunnableModel) -> str:
    """The other fix, where the family can be swapped."""
    kind = str(subject.model.config.model_type)
    return ", or milepost.swap(model, 'learned')" if kind in stacks_by_type() else ""


def shown(error: Exception) -> str:
    """The kind of an error and its first line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:160]


def listed(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(map(ascii, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def at_each_length(subject: RunnableModel, run: Callable[[int, int], Verdict]) -> Verdict:
    """The first problem at any of the lengths to try; each comes with a number of pads."""
    for length in subject.lengths:
        far = length > subject.length
        said = run(length, PADS_FAR if far else subject.length // 2)
        if said.status != "passed":
            return replace(said, got=f"{said.got}, at {length} tokens") if far else said
    return Verdict("passed")
