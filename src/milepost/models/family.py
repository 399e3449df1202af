"""A model family as one row of data: where its positions come from, and what else knows its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PretrainedConfig


@dataclass(frozen=True)
class Family:
    """One model family of transformers, or one half of an encoder-decoder.

    Args:
        model_type: its name in transformers.
        base: class that owns the positions and the layers, or that its subclasses inherit from.
        attention: classes of self-attention.
        causal: ``always``, ``never``, or ``decoder`` where ``config.is_decoder`` says.
        table: path of the position table from ``base``: an embedding, or a parameter ``[1, rows, dim]``.
            Without one, absolute encodings are added to the token embeddings.
        rotary: path of the rotary module, which is silenced.
        partial: whether the family heeds ``partial_rotary_factor``.
        first_row: row of position 0, where no ``pad`` says.
        pad: token id that gets no position, ``config`` for ``pad_token_id``. Rows begin after it, the
            family counts other tokens, and ``position_ids`` are rows.
        counts_mask: whether the family itself counts the attention mask.
        cross_attention: classes of cross-attention, or names of such modules; never touched.
        limits: buffers of the table's length, by path from ``base``.
        zeros: arguments that the family would read from such a buffer; past its end they are zeros.
        firm: whether the first of ``limits`` is an end that no argument lifts.
        interface: whether attention goes through transformers' interface; absolute encodings only, if not.
        keeps: what knows of order beside the table and stays.
        embeds: whether positions are added to ``inputs_embeds`` that are passed.
        reads_table: whether the family reads the table's rows itself instead of calling it.
        prefix: of image models, rows before the first patch; ``None`` for text.
        length: the config's field for the number of positions.
        heads: the config's field for the number of heads.
        folder: under ``transformers.models``; that of the model type by default.
    """

    model_type: str
    base: str
    attention: tuple[str, ...]
    causal: str
    table: str | None = None
    rotary: str | None = None
    partial: bool = False
    first_row: int = 0
    pad: int | str | None = None
    counts_mask: bool = False
    cross_attention: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()
    firm: bool = False
    interface: bool = True
    keeps: str = ""
    embeds: bool = True
    reads_table: bool = False
    prefix: int | None = None
    length: str | None = "max_position_embeddings"
    heads: str = "num_attention_heads"
    folder: str = ""

    @property
    def module(self) -> str:
        """The module of transformers that holds the family's models."""
        folder = self.folder or self.model_type.replace("-", "_")
        return f"transformers.models.{folder}.modeling_{folder}"

    def is_causal(self, config: PretrainedConfig) -> bool:
        """Whether a query of this model sees only keys at or before it."""
        return self.causal == "always" or (
            self.causal == "decoder" and bool(getattr(config, "is_decoder", False))
        )

    def pad_of(self, config: PretrainedConfig) -> int | None:
        """Token id that gets no position, if there is one."""
        return config.pad_token_id if self.pad == "config" else self.pad  # type: ignore[return-value]

    def first_row_of(self, config: PretrainedConfig) -> int:
        """Row of position 0 in this model's table."""
        pad = self.pad_of(config)
        return self.first_row if pad is None else pad + 1

    def patch_of(self, config: PretrainedConfig) -> tuple[int, int] | None:
        """Height and width of a patch of an image model, in pixels."""
        return None if self.prefix is None else _pair(config.patch_size)

    def grid_of(self, config: PretrainedConfig) -> tuple[int, int] | None:
        """Rows and columns of patches in images of an image model's own size."""
        patch = self.patch_of(config)
        if patch is None:
            return None
        height, width = _pair(config.image_size)
        return height // patch[0], width // patch[1]

    def attentions(self, model: nn.Module) -> list[nn.Module]:
        """All attention modules of a model, in order."""
        classes = {*self.attention, *self.cross_attention}
        return [
            module for module in model.modules() if classes & {cls.__name__ for cls in type(module).__mro__}
        ]

    def is_crossing(self, module: nn.Module, base: nn.Module) -> bool:
        """Whether an attention module looks from a decoder at an encoder."""
        name = next(path.rpartition(".")[2] for path, one in base.named_modules() if one is module)
        names = {name, *(cls.__name__ for cls in type(module).__mro__)}
        return bool(names & set(self.cross_attention)) or bool(getattr(module, "is_cross_attention", False))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
