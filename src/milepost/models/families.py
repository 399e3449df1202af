"""Model families as data: where the position table is, and what else knows about its length."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from milepost.errors import SwapRefused, UnknownFamily

PREFIX = "milepost_"
"""What the model type of a swapped model begins with, so that stock ``AutoModel`` refuses its folder."""


@dataclass(frozen=True)
class Family:
    """One model family of transformers.

    Args:
        model_type: its name in transformers, also the folder under ``transformers.models``.
        base: class that owns the table and the layers, or that its subclasses inherit from.
        table: path of the position table from there.
        attention: classes of self-attention; cross-attention is never touched.
        causal: ``always``, ``never``, or ``decoder`` where ``config.is_decoder`` says.
        first_row: row of position 0.
        cross_attention: classes of cross-attention that the name gives away.
        limits: buffers of the table's length, by path from ``base``.
        zeros: arguments that the family would read from such a buffer; past its end they are zeros.
    """

    model_type: str
    base: str
    table: str
    attention: tuple[str, ...]
    causal: str
    first_row: int = 0
    cross_attention: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()

    def is_causal(self, config: object) -> bool:
        """Whether a query of this model sees only keys at or before it."""
        return self.causal == "always" or (
            self.causal == "decoder" and bool(getattr(config, "is_decoder", False))
        )

    def attentions(self, base: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
        """Self-attention and cross-attention modules of a model, in order."""
        own, cross = [], []
        for module in base.modules():
            names = {cls.__name__ for cls in type(module).__mro__}
            if names & set(self.cross_attention) or (
                names & set(self.attention) and getattr(module, "is_cross_attention", False)
            ):
                cross.append(module)
            elif names & set(self.attention):
                own.append(module)
        return own, cross


_ROWS = (
    Family(
        model_type="gpt2",
        base="GPT2Model",
        table="wpe",
        attention=("GPT2Attention",),
        causal="always",
    ),
    Family(
        model_type="bert",
        base="BertModel",
        table="embeddings.position_embeddings",
        attention=("BertSelfAttention",),
        cross_attention=("BertCrossAttention",),
        causal="decoder",
        limits=("embeddings.position_ids", "embeddings.token_type_ids"),
        zeros=("token_type_ids",),
    ),
)


def families() -> dict[str, Family]:
    """All families by transformers' model type, sorted.

    >>> sorted(families())
    ['bert', 'gpt2']
    """
    return {row.model_type: row for row in sorted(_ROWS, key=lambda row: row.model_type)}


def find_family(model_type: str) -> Family:
    """The row of a model type, swapped or not.

    Raises:
        UnknownFamily: MP120, no row of this model type.
    """
    known = families()
    family = known.get(model_type.removeprefix(PREFIX))
    if family is None:
        raise UnknownFamily(
            "this model family is not known here",
            got=f"model_type {model_type!r}",
            fix=f"use one of {', '.join(known)}, or add a row to milepost.models.families",
        )
    return family


def find_base(model: PreTrainedModel) -> tuple[PreTrainedModel, Family]:
    """The module that owns the table and the layers, and its family.

    Raises:
        UnknownFamily: MP120, no model of transformers or none that is known.
        SwapRefused: MP121, when it is not there exactly once, or has a config of its own.
    """
    if not isinstance(model, PreTrainedModel):
        raise UnknownFamily(
            "only models of transformers can be swapped",
            got=type(model).__name__,
            fix="pass a PreTrainedModel; use milepost.LearnedPositions in a model of your own",
        )
    family = find_family(model.config.model_type)
    found = [
        module
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and any(cls.__name__ == family.base for cls in type(module).__mro__)
    ]
    if len(found) != 1 or found[0].config is not model.config:
        raise SwapRefused(
            f"the model does not hold one {family.base} that shares its config",
            got=f"{type(model).__name__} with {len(found)}",
            fix="swap the part that holds the position table",
        )
    return found[0], family
